"""The training processes of a comparison: where it is stopped they stop too, each with a checkpoint.

    with Processes() as processes:
        processes.train(words, log, mode, place)   -> its exit status, when it has ended

Ctrl+C, SIGTERM and a terminal that goes away stop a comparison; from a shell its processes would have been
asked as well, from a batch system or by `kill` they would have gone on alone. What SIGKILL leaves behind is
waited for by who comes next (`alone`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Self

from filelock import FileLock

from amft_mm.compare.places import Place
from amft_mm.runs.folder import LOCK
from amft_mm.runs.stopping import SIGNALS, heard

ENDS = {code for s in SIGNALS for code in (-s, 128 + s)}
"""Exit statuses of a run that somebody stopped."""


class Processes:
    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False
        # Ctrl+C has an exception of its own.
        self._heard = heard([s for s in SIGNALS if s != signal.SIGINT], _ended)

    def __enter__(self) -> Self:
        self._heard.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: Any) -> None:
        if kind is not None and not issubclass(kind, Exception):
            self.stop()
        self._heard.__exit__(None, None, None)

    def train(self, words: Sequence[str], log: Path, mode: str, place: Place) -> int:
        command = [sys.executable, "-m", "amft_mm.train", *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **place}
        with open(log, mode, encoding="utf-8") as lines:
            with self._guard:
                if self._stopped:
                    return -signal.SIGTERM
                process = subprocess.Popen(
                    command, stdout=lines, stderr=subprocess.STDOUT, env=environment
                )
                self._running.add(process)
            try:
                return process.wait()
            finally:
                with self._guard:
                    self._running.discard(process)

    def stop(self) -> None:
        """None is begun any more."""
        with self._guard:
            self._stopped = True
            for process in self._running:
                with suppress(ProcessLookupError):
                    process.terminate()


def alone(folder: Path) -> None:
    """Waits for a run that trains on though the comparison that began it is gone."""
    if folder.is_dir():
        with FileLock(folder / LOCK):
            pass


def _ended(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
