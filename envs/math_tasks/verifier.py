"""math-verify behind a time limit: `agree(reference, answer)` never hangs and never raises.

One worker process serves a whole process, started at the first question that needs it. Where an
answer takes too long the worker is killed, the answer counts as wrong, and the next question gets
a new worker.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
from functools import lru_cache
from pathlib import Path

SECONDS = 5.0
"""What one answer may take."""
SECONDS_TO_START = 120.0
LONGEST = 2_000
"""Characters of an answer that may still be right."""


class VerifierError(RuntimeError):
    """math-verify itself cannot be run; no answer is to blame."""


@lru_cache(maxsize=10_000)
def agree(reference: str, answer: str) -> bool:
    """Whether math-verify finds that `answer` equals `reference` within the time limit."""
    if len(answer) > LONGEST:
        return False
    return _shared_worker().ask(reference, answer, SECONDS)


def close() -> None:
    """Ends the worker, if there is one."""
    global _worker
    with _lock:
        worker, _worker = _worker, None
    if worker is not None and worker.owner == os.getpid():
        worker.close()


class Worker:
    """The worker process and a thread that listens to it, so that waiting can have an end."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._replies: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def ask(self, reference: str, answer: str, seconds: float) -> bool:
        request = json.dumps({"reference": reference, "answer": answer, "seconds": seconds})
        with self._lock:
            try:
                self._write(request)
                reply = self._wait(seconds)
            except (
                BaseException
            ):  # a Ctrl+C: what comes would be taken for the next question's answer
                self._stop()
                raise
            if reply is None:
                self._stop()
                return False
            return bool(json.loads(reply)["right"])

    def _write(self, request: str) -> None:
        for _ in range(2):  # a worker that died since the last question is no one's fault
            process = self._process if self._process else self._start()
            try:
                assert process.stdin is not None
                process.stdin.write(request + "\n")
                process.stdin.flush()
                return
            except OSError:
                self._stop()
        raise VerifierError("the worker of math-verify ends as soon as it has started")

    def close(self) -> None:
        with self._lock:
            self._stop()

    def _start(self) -> subprocess.Popen[str]:
        script = Path(__file__).with_name("worker.py")
        self._process = process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                str(script),
            ],  # -P: this folder's names must not shadow any other
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # a Ctrl+C is for the program, not for a judge of answers
            env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        self._replies = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(process, self._replies), daemon=True).start()
        if self._wait(SECONDS_TO_START) is None:
            self._stop()
            raise VerifierError(
                f"the worker of math-verify did not start: try `{sys.executable} {script}`"
            )
        return process

    def _wait(self, seconds: float) -> str | None:
        try:
            return self._replies.get(timeout=seconds)
        except queue.Empty:
            return None

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


def _listen(process: subprocess.Popen[str], replies: queue.SimpleQueue[str | None]) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            replies.put(line)
    replies.put(None)


_worker: Worker | None = None
_lock = threading.Lock()


def _shared_worker() -> Worker:
    global _worker
    with _lock:
        # A forked child has the parent's worker in its hands and must not talk to it.
        if _worker is None or _worker.owner != os.getpid():
            _worker = Worker()
        return _worker


atexit.register(close)
