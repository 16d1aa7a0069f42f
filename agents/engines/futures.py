"""Answers of servers as futures: `submit(request, job)` asks in a thread, `arrived()` gives what has come."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from agents.conversation import Conversation
from agents.engines.base import Request

PATIENCE = 0.02
"""Seconds that `arrived` waits for a first answer: so long may a world that has stepped go unnoticed."""
Came = TypeVar("Came")


class Futures(Generic[Came]):
    def __init__(self, at_once: int) -> None:
        """`at_once`: requests that are under way at the same time; more wait for their turn."""
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="asking")
        self._asked: dict[Future[Came], Request] = {}

    def submit(self, request: Request, job: Callable[[], Came]) -> None:
        self._asked[self._pool.submit(job)] = request

    def arrived(self) -> list[tuple[Request, Came]]:
        done, _ = wait(self._asked, PATIENCE, FIRST_COMPLETED)
        return [(self._asked.pop(future), future.result()) for future in done]

    def forget(self, conversation: Conversation) -> None:
        """What is under way goes on, and nobody is told of it."""
        for future in [f for f, r in self._asked.items() if r.conversation is conversation]:
            future.cancel()
            del self._asked[future]
