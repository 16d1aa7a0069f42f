"""Servers whose weights are known, so that one which dies or is started again can do no harm.

    servers.hand_over(policy)       all that answer take the learner's weights, under a new version
    servers.ask(path, body)         the reply of one of those that have them, in turn

vLLM (from 0.32 on) tells with every answer by which version of the weights each of its tokens was sampled.
The learner says the version when it has handed over new ones, and a server that was started again knows none.
One that does not answer, breaks off, or answers by other weights is passed over, unlike one that refuses a
prompt; after a while it is looked at again, beside what the others are asked, is handed the current weights
if it lives, and takes part again.
Before anything was handed over servers have their own weights, which nobody checks: they are only evaluated.

Weights come through a folder (agents/engines/by_folder.py), or from GPU to GPU (agents/engines/by_nccl.py).
Of several processes the first alone speaks of them to servers; the others wait.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import httpx

from agents import ranks
from agents.engines.futures import beside
from agents.engines.server import Server, Way
from agents.engines.web import Refused, ServerError
from agents.policy import Policy

AGAIN = 10.0
"""Seconds after which a server that was passed over is looked at again."""


class Servers:
    """See the module's docstring."""

    def __init__(
        self,
        urls: list[str],
        client: httpx.Client,
        way: Callable[[str], Way] | None,
        *,
        retries: int = 4,
        again: float = AGAIN,
    ) -> None:
        """`way`: how new weights come to them, by what this run's versions begin with."""
        urls = list(dict.fromkeys(url.rstrip("/") for url in urls))
        retries = retries if len(urls) == 1 else 0
        self._servers = [Server(url, client, retries) for url in urls]
        self._again = again
        self._next, self._updates = itertools.count(), itertools.count(1)
        self._run = ranks.from_first(
            f"{uuid.uuid4().hex[:8]}-"
        )  # two runs have no version in common
        self._way = way(self._run) if way else None
        self._version = ""
        self._rejoining = threading.Lock()

    @property
    def up(self) -> list[str]:
        return [server.url for server in self._servers if server.up]

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        if self._way and self._way.adapter:
            body = {**body, "model": self._version}
        refused: Refused | None = None
        for server in self._in_turn():
            try:
                reply = server.post(path, body)
                check_finished(reply)
                if self._version:
                    check_versions(reply, self._version)
                return reply
            except Refused as error:  # which others may take
                refused = error
            except ServerError as error:
                server.pass_over(error)
        raise refused or ServerError("; ".join(server.why for server in self._servers))

    def hand_over(self, policy: Policy) -> None:
        """All processes come here, each with nothing asked that is not answered."""
        if self._way is None:
            raise ValueError(
                "engine=vllm with servers needs engine.weights_folder=FOLDER, a folder that learner "
                "and servers both see, to hand over new weights, or engine.transfer=nccl"
            )
        ranks.wait()  # another process may be waiting for its answers still
        # A thread that nobody waits for may be bringing one up by older weights.
        with self._rejoining:
            self._version = f"{self._run}{next(self._updates)}"
            for server in self._servers:
                server.looked_at = time.monotonic()
            self._way.hand_over(policy, self._version, self._servers)
        told = ranks.from_first([(server.up, server.why) for server in self._servers])
        for server, (server.up, server.why) in zip(self._servers, told, strict=True):
            server.looked_at = time.monotonic()
        if not self.up:
            raise ServerError("; ".join(server.why for server in self._servers))

    def _in_turn(self) -> Iterator[Server]:
        """Those that are up, each time another first; then those that can be brought up."""
        first, count = next(self._next), len(self._servers)
        order = [self._servers[(first + k) % count] for k in range(count)]
        if self.up:
            self._seek(server for server in order if not server.up)
        yield from (server for server in order if server.up)
        if not self.up:
            for server in order:
                self._rejoin(server)
                if server.up:
                    yield server

    def _seek(self, lost: Iterable[Server]) -> None:
        """Looks after a while whether they live again, beside what is asked: one that hangs keeps nobody
        waiting."""
        for server in lost:
            if server.sought and server.sought.done():
                server.sought = server.sought.result()
            if not server.sought and time.monotonic() - server.looked_at > self._again:
                server.sought = beside(partial(self._rejoin, server))

    def _rejoin(self, server: Server) -> None:
        before = server.looks_in_vain
        with self._rejoining:  # of those who ask at the same time, one does it
            if not server.up and server.looks_in_vain == before:
                self._bring_up(server)

    def _bring_up(self, server: Server) -> None:
        """Has a server take the current weights where it has others, and notes whether it is up."""
        server.looked_at = time.monotonic()
        try:
            if self._way is None or not self._version:
                server.look("/health")
            elif server.has() != self._version:
                if not ranks.is_first():
                    raise ServerError(f"{server.url} has not taken the current weights yet")
                self._way.again(server, self._version)
        except ServerError as error:
            server.looks_in_vain += 1
            server.pass_over(error)
        else:
            server.take_part()


def check_finished(reply: Any) -> None:
    """A server that is told to end gives what it has of an answer, as if that were all."""
    with contextlib.suppress(KeyError, TypeError):  # what it lacks is told where it is read
        if "abort" in [choice["finish_reason"] for choice in reply["choices"]]:
            raise ServerError("a reply was broken off, as by a server that is told to end")


def check_versions(reply: Any, version: str) -> None:
    """Of every token of every answer."""
    try:
        spans = [span for choice in reply["choices"] for span in choice["weight_versions"]]
        told = {str(span["version"]) for span in spans}
    except (KeyError, TypeError):
        raise ServerError("a reply does not say which weights gave it") from None
    if told != {version}:
        raise ServerError(f"a reply is by the weights {sorted(told)}, and not by {version!r}")
