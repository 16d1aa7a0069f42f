"""A cache bounded in bytes, the least recently used going first. Safe to share between threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Value = TypeVar("Value")


class BoundedCache(Generic[Value]):
    """Keeps values up to `most_bytes`, but always the newest one."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes = 0

    def get(self, key: Hashable, make: Callable[[], Value], size: Callable[[Value], int]) -> Value:
        """The value of a key; made, outside the lock, if it is not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
        value = make()
        with self._lock:
            if key not in self._kept:  # another thread may have been faster
                self._kept[key] = value, size(value)
                self.bytes += self._kept[key][1]
            while self.bytes > self._most_bytes and len(self._kept) > 1:
                _, (_, gone) = self._kept.popitem(last=False)
                self.bytes -= gone
        return value

    def peek(self, key: Hashable) -> Value | None:
        """The value of a key if it is kept."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self.bytes = 0

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What is kept inside is forgotten afterwards, and what was kept before is there again."""
        with self._lock:
            before, self._kept, self.bytes = (self._kept, self.bytes), OrderedDict(), 0
        try:
            yield
        finally:
            with self._lock:
                self._kept, self.bytes = before

    def __getstate__(self) -> int:
        return self._most_bytes  # copies start empty

    def __setstate__(self, most_bytes: int) -> None:
        self.__init__(most_bytes)  # type: ignore[misc]
