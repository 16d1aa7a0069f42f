"""Ctrl+C, SIGTERM and a terminal that goes away ask a run to stop; a second Ctrl+C ends it at once.

    with Stopping(tell=True) as stopping:
        ...                            # a step
        stopping.asked                 # None, or the number of the signal

What is asked for is done by who asks `asked`, when it suits: after a step, with a checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
SAME = 1.0
"""Seconds: torchrun passes a Ctrl+C on, which its processes have had from the terminal already."""
WORDS = "\nstopping after this step, with a checkpoint; Ctrl+C again ends at once\n"


class Stopping:
    def __init__(self, *, tell: bool) -> None:
        self.asked: int | None = None
        self._tell, self._when = tell, 0.0
        self._heard = heard(SIGNALS, self._ask)

    def __enter__(self) -> Self:
        self._heard.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._heard.__exit__(*raised)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        again = self.asked is not None and number == signal.SIGINT
        shared = int(os.environ.get("WORLD_SIZE", "1")) > 1
        if again and not (shared and time.monotonic() - self._when < SAME):
            _write("\x1b[?25h" if sys.stdout.isatty() else "")  # a cursor that a live line hid
            os._exit(128 + signal.SIGINT)  # threads of worlds and engines would be waited for
        if self.asked is None:
            self.asked, self._when = number, time.monotonic()
            _write(WORDS if self._tell else "")


@contextlib.contextmanager
def heard(
    signals: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Within, signals go to `handler`, but for those that are ignored, as under nohup. Of threads the first
    alone can ask for that."""
    before: dict[int, Callable[..., Any] | int | None] = {}
    if threading.current_thread() is threading.main_thread():
        for number in signals:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for heeded, old in before.items():
            signal.signal(heeded, old)


def _write(words: str) -> None:
    """Print is not to be called while a print may be under way; and the terminal may be gone."""
    with contextlib.suppress(OSError):
        os.write(2, words.encode())
