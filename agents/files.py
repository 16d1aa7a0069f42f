"""Files that are whole or not there: written beside their place, and moved there last.

with whole_file(path) as unfinished: ...    write to `unfinished`; it becomes `path`
write_text(path, text)
why_not_written(error)                      "No space left on device", however a library has wrapped it
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where the block raises, `path` stays as it was."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:
        if error.filename is None:  # as where a disk is full
            raise OSError(error.errno, why_not_written(error), str(path)) from error
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def why_not_written(error: BaseException) -> str:
    """What the system said, which libraries hide behind words of their own; else their first line."""
    cause: BaseException | None = error
    while cause is not None:
        told = re.search(r"os error (\d+)", str(cause))  # as Rust has it
        number = cause.errno if isinstance(cause, OSError) else int(told[1]) if told else None
        if number is not None:
            return os.strerror(number)
        cause = cause.__cause__ or cause.__context__
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
