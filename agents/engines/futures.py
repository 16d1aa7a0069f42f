"""Answers of servers as futures: `submit(request, job)` asks in a thread, `arrived()` gives what has come.
`beside(call)` is one call in one thread.

Threads are daemons: whoever stops a run does not wait for a silent server, as with a ThreadPoolExecutor.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from agents.conversation import Conversation
from agents.engines.base import Request
from envs.contract import whole_number

PATIENCE = 0.02
"""Seconds that `arrived` waits for a first answer: so long may a world that has stepped go unnoticed."""
Came = TypeVar("Came")
Value = TypeVar("Value")
Jobs = SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]


class Futures(Generic[Came]):
    def __init__(self, at_once: int) -> None:
        """`at_once`: requests that are under way at the same time; more wait for their turn."""
        at_once = whole_number("engine.at_once", at_once, 1, 10_000)
        self._jobs: Jobs = SimpleQueue()
        self._asked: dict[Future[Came], Request] = {}
        self._left = at_once  # threads that may be started
        weakref.finalize(self, _end, self._jobs, at_once)

    def submit(self, request: Request, job: Callable[[], Came]) -> None:
        future: Future[Came] = Future()
        self._asked[future] = request
        self._jobs.put((future, job))
        if self._left:
            self._left -= 1
            threading.Thread(target=_ask, args=(self._jobs,), name="asking", daemon=True).start()

    def arrived(self) -> list[tuple[Request, Came]]:
        done, _ = wait(self._asked, PATIENCE, FIRST_COMPLETED)
        return [(self._asked.pop(future), future.result()) for future in done]

    def forget(self, conversation: Conversation) -> None:
        """What is under way goes on, and nobody is told of it."""
        for future in [f for f, r in self._asked.items() if r.conversation is conversation]:
            future.cancel()
            del self._asked[future]


def beside(call: Callable[[], Value]) -> Future[Value]:
    """What `call` gives, from a thread of its own."""
    jobs: Jobs = SimpleQueue()
    future: Future[Value] = Future()
    jobs.put((future, call))
    jobs.put(None)
    threading.Thread(target=_ask, args=(jobs,), name="beside", daemon=True).start()
    return future


def _ask(jobs: Jobs) -> None:
    while (job := jobs.get()) is not None:
        future, call = job
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)
        del job, future, call  # they hold the engine, which may be dropped while this waits


def _end(jobs: Jobs, threads: int) -> None:
    for _ in range(threads):
        jobs.put(None)
