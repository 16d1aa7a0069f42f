"""One server of vLLM, and which weights it has.

    server.has()                 the version that it says it has
    server.being_replaced()      from here on it owns up to none
    server.replaced(version)     its caches are emptied, and it tells this version with every answer

A version is told once weights are there, so that one which a server has is never half of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import httpx

from agents.engines.futures import beside
from agents.engines.web import ServerError, get, post, tell
from agents.policy import Policy

CACHES = ("prefix", "mm", "encoder")
SAY, TELLS = "/update_weight_version", "/weight_info"
UNKNOWN = "being replaced"
LOOK = 30.0
"""Seconds."""


@dataclass
class Server:
    url: str
    client: httpx.Client
    retries: int = 0
    up: bool = True
    looked_at: float = 0.0
    why: str = ""
    """It is passed over."""
    looks_in_vain: int = 0
    """Which found it down: those who waited for one need no other."""
    sought: Future[None] | None = None
    """A look at it that is under way."""

    def look(self, path: str) -> Any:
        """What it says of itself, which takes no longer than LOOK."""
        return get(self.client, f"{self.url}{path}", seconds=LOOK)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return post(self.client, f"{self.url}{path}", body, retries=self.retries)

    def tell(self, path: str, body: dict[str, Any], *, retries: int | None = None) -> None:
        """Has it do something. Some of what it says to that is JSON, and some words."""
        tries = self.retries if retries is None else retries
        tell(self.client, f"{self.url}{path}", body, retries=tries)

    def has(self) -> str:
        try:
            return str(self.look(TELLS)["weight_version"])
        except (ServerError, KeyError, TypeError) as error:
            raise ServerError(
                f"{self.url} does not say which weights it has; it must be vLLM from 0.32 on, with "
                f"VLLM_SERVER_DEV_MODE=1 ({error})"
            ) from None

    def being_replaced(self) -> None:
        self.tell(SAY, {"new_version": UNKNOWN})

    def replaced(self, version: str) -> None:
        for cache in CACHES:
            self.tell(f"/reset_{cache}_cache", {})
        self.tell(SAY, {"new_version": version})
        self.tell("/resume", {})  # a learner that sent it weights and died has left it paused

    def pass_over(self, error: Exception) -> None:
        self.up, self.why, self.looked_at = False, str(error), time.monotonic()

    def take_part(self) -> None:
        self.up, self.why = True, ""


class Way(Protocol):
    """How new weights come to servers."""

    adapter: bool
    """Of LoRA the adapter alone came: requests name the version as their model."""

    def hand_over(self, policy: Policy, version: str, servers: list[Server]) -> None:
        """All processes come here. Each server either has the weights afterwards, or is passed over."""

    def again(self, server: Server, version: str) -> None:
        """The first process comes here: a server lives again, and is to have what the others were handed
        last. A ServerError where it can not."""


def each(servers: list[Server], act: Callable[[Server], None]) -> list[Server]:
    """`act` on all at the same time; those that came through it. The others are passed over."""

    def came_through(server: Server) -> bool:
        try:
            act(server)
        except ServerError as error:
            server.pass_over(error)
            return False
        server.take_part()
        return True

    tried = [beside(partial(came_through, server)) for server in servers]
    return [server for server, did in zip(servers, tried, strict=True) if did.result()]
