"""OpenEnv servers for tests: of a world of ours, and of an environment that knows nothing of it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("openenv")

from openenv.core.env_server.http_server import create_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State

from envs.serve import server_of
from tests.ports import free_port
from tests.waiting import wait_until


@contextlib.contextmanager
def serving(app: Any, most_bytes: int = 1_000_000) -> Iterator[str]:
    """The server's address, while it runs in a thread."""
    port = free_port()
    server = server_of(app, "127.0.0.1", port, most_bytes)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive())
    assert server.started
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)


class Guess(Action):
    number: int


class Hint(Observation):
    hint: str
    tries: int = 0


class Guessing(Environment[Guess, Hint, State]):
    """Somebody else's: a number to be guessed; no `text`, no `success`, an action that is a number."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self._wanted, self._tries = 0, 0

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Hint:
        self._wanted, self._tries = (seed or 0) % 10, 0
        return Hint(hint="Guess a number from 0 to 9.")

    def step(self, action: Guess, timeout_s: float | None = None, **_: Any) -> Hint:
        self._tries += 1
        if action.number == 13:
            raise RuntimeError("unlucky")
        right = action.number == self._wanted
        hint = "Right." if right else "More." if action.number < self._wanted else "Less."
        return Hint(hint=hint, tries=self._tries, done=right, reward=1.0 if right else -0.1)

    @property
    def state(self) -> State:
        return State(step_count=self._tries)


def guessing_app() -> Any:
    return create_app(Guessing, Guess, Hint, env_name="guessing", max_concurrent_envs=8)
