"""A world as an OpenEnv server: `python -m envs.serve amft/GeneralPoints-v0`.

A connection to `/ws` is a session with a world of its own. Actions have one field, `text`; observations are
those of envs/protocols/session.py, since verdicts and feedback in `metadata` do not reach every client. A
reset takes `seed`, or `split` and `index`: the tasks that `/{name}/splits`, `/tasks`, `/num_tasks` and
`/task` list.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from envs.protocols import need_openenv
from envs.protocols.session import MOST_TASKS, Session

need_openenv()

from openenv.core.env_server.http_server import create_app  # noqa: E402
from openenv.core.env_server.interfaces import Environment  # noqa: E402
from openenv.core.env_server.types import (  # noqa: E402
    Action,
    ConcurrencyConfig,
    EnvironmentMetadata,
    Observation,
    State,
)
from pydantic import Field, model_validator  # noqa: E402

LONGEST_TEXT = 200_000
ONLY_SPLIT = "train"
"""What is listed for a world without splits."""


@dataclass(frozen=True)
class Served:
    """What is served. `bytes_` bounds a message, `idle` is in seconds; None never closes a session."""

    world: str
    arguments: dict[str, Any] = field(default_factory=dict)
    sessions: int = 64
    idle: float | None = 600.0
    tasks: int = MOST_TASKS
    bytes_: int = 1_000_000

    @property
    def name(self) -> str:
        """In addresses: amft/GeneralPoints-v0 is GeneralPoints-v0."""
        return self.world.rpartition("/")[2].rpartition(":")[2]


class Answer(Action):
    """What the agent writes."""

    text: str = Field(max_length=LONGEST_TEXT, description="The agent's answer, any text.")

    @model_validator(mode="before")
    @classmethod
    def _whole_objects_are_answers(cls, said: Any) -> Any:
        """Some clients send the JSON object that a model wrote as the action itself."""
        if isinstance(said, str):
            return {"text": said}
        if isinstance(said, dict) and not ("text" in said and set(said) <= {"text", "metadata"}):
            return {"text": json.dumps(said)}
        return said


class Shown(Observation):
    """What the world shows, and what came of the last answer."""

    text: str = Field(description="What the agent is told.")
    image: str | None = Field(
        None,
        description="The picture: base64 of a PNG; null if it is the last one, or there are several.",
    )
    images: list[str] = Field([], description="All new pictures, each base64 of a PNG.")
    tool: str = Field("", description="The name of the tool whose result this is.")
    system: str = Field("", description="With a reset: the world's own system prompt.")
    tools: list[dict[str, Any]] = Field([], description="With a reset: the tools to call.")
    verdict: str | None = Field(None, description="What the last answer came to.")
    feedback: str = Field("", description="What the agent is told about its last answer.")
    success: bool = Field(False, description="Whether the task is solved; final when done.")
    ended_by: str | None = Field(None, description="Why the episode has ended.")


class WorldServer(Environment[Answer, Shown, State]):
    """One session's environment."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, served: Served, splits: tuple[str, ...]) -> None:
        """`splits` are the world's own, none where it has no argument `split`."""
        super().__init__()
        self._served, self._splits = served, splits
        self._session = Session(served.world, served.arguments)
        self._episode: str | None = None
        self._closed = False

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        *,
        split: str | None = None,
        index: int | None = None,
        **unknown: Any,
    ) -> Shown:
        if unknown:
            raise ValueError(f"reset takes seed, or split and index; not {', '.join(unknown)}.")
        self._check_open()
        if not self._splits and split == ONLY_SPLIT:
            split = None
        shown = self._session.reset(seed=seed, split=split, index=index)
        self._episode = episode_id or uuid4().hex
        return Shown(**shown)

    def step(self, action: Answer, timeout_s: float | None = None, **_: Any) -> Shown:
        self._check_open()
        return Shown(**self._session.answer(action.text))

    @property
    def state(self) -> State:
        return State(episode_id=self._episode, step_count=self._session.steps)

    def get_metadata(self) -> EnvironmentMetadata:
        return EnvironmentMetadata(
            name=self._served.name,
            description=f"{self._served.world}: text and pictures in, free text out.",
            version="0.1.0",
        )

    # The tasks: instances by number.

    def list_splits(self) -> list[dict[str, str]]:
        return [
            {"name": name, "type": "train" if name == "train" else "test"}
            for name in self._splits or (ONLY_SPLIT,)
        ]

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        return self.get_task_range(split)

    def num_tasks(self, split: str) -> int:
        if split not in (self._splits or (ONLY_SPLIT,)):
            raise IndexError(split)
        return self._served.tasks

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        if not 0 <= index < self.num_tasks(split):
            raise IndexError(index)
        return _task(split, index)

    def get_task_range(
        self, split: str, start: int | None = None, stop: int | None = None
    ) -> list[dict[str, Any]]:
        return [_task(split, index) for index in range(self.num_tasks(split))[start:stop]]

    def close(self) -> None:
        self._session.close()
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the session was closed, since it was idle: connect anew.")


def _task(split: str, index: int) -> dict[str, Any]:
    return {"id": f"{split}-{index}", "split": split, "index": index}


def make_app(served: Served) -> Any:
    """The server's application, for uvicorn. A world that can not be made is told here."""
    session = Session(served.world, served.arguments)
    splits = session.splits()
    session.close()

    def one_session() -> WorldServer:
        return WorldServer(served, splits)

    app = create_app(
        one_session,
        Answer,
        Shown,
        env_name=served.name,
        concurrency_config=ConcurrencyConfig(
            max_concurrent_envs=served.sessions, session_timeout=served.idle
        ),
    )
    app.add_middleware(SmallRequests, most=served.bytes_)
    return app


class SmallRequests:
    """Refuses bodies of HTTP requests that are too large, or do not say how large, before they are read."""

    def __init__(self, app: Any, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        unknown = b"transfer-encoding" in headers or not length.isdigit()
        if unknown or int(length) > self._most:
            too_large = {"type": "http.response.start", "status": 413, "headers": []}
            await send(too_large)
            await send({"type": "http.response.body", "body": b"the request is too large"})
            return
        await self._app(scope, receive, send)
