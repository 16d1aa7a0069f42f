"""What a command prints may be cut: `with reader_may_leave():` ends it quietly, by status 1, where who reads,
as `head` does, has seen enough.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reader_may_leave() -> Iterator[None]:
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, and not when Python ends
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(1) from None
