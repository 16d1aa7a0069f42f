"""A folder that is read once for all of a process, and again when it has changed.

    deck = read_once(FolderDeck, Path.iterdir, most=4)      deck(folder) is deck(folder)

Safe to share between threads: of two that ask at once, the second waits for what the first one reads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

How = ParamSpec("How")
Read = TypeVar("Read")


def read_once(
    read: Callable[Concatenate[Path, How], Read],
    files: Callable[[Path], Iterable[Path]],
    most: int,
) -> Callable[Concatenate[Path, How], Read]:
    """`read(folder, ...)`, kept for the last `most` calls that differ; what it is told beside the folder is
    hashable. A folder has changed where one of its `files` has, has come or has gone."""
    reading = threading.Lock()

    @lru_cache(maxsize=most)
    def kept(
        folder: Path, state: tuple[tuple[Path, int], ...], *args: How.args, **kwargs: How.kwargs
    ) -> Read:
        return read(folder, *args, **kwargs)

    def once(folder: Path, *args: How.args, **kwargs: How.kwargs) -> Read:
        where = folder.resolve()
        with reading:
            # The state is that before reading, so that a change meanwhile is noticed the next time.
            return kept(where, _state(files(where)), *args, **kwargs)  # type: ignore[arg-type]

    return once


def _state(files: Iterable[Path]) -> tuple[tuple[Path, int], ...]:
    return tuple((path, path.stat().st_mtime_ns) for path in sorted(files) if path.exists())
