"""What the parts of a step take: `clock(name)` adds the seconds since the last call to `row[name]`."""

from __future__ import annotations

import time
from typing import Any


class Clock:
    def __init__(self, row: dict[str, Any]) -> None:
        self._row, self._last = row, time.monotonic()

    def __call__(self, name: str) -> None:
        now = time.monotonic()
        self._row[name] = self._row.get(name, 0.0) + now - self._last
        self._last = now
