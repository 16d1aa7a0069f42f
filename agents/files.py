"""Files that are whole or not there: written beside their place, and moved there last.

with whole_file(path) as unfinished: ...    write to `unfinished`; it becomes `path`
write_text(path, text)
reason_of(error)                            "No space left on device", however a library has wrapped it
with weights_written(folder): ...           what cannot be written is an OSError, as everywhere else
"""

from __future__ import annotations

import errno
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
            raise OSError(error.errno, reason_of(error), str(path)) from error
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


@contextmanager
def weights_written(folder: str | Path) -> Iterator[None]:
    """Around the library that writes weights, whose error is of a kind of its own."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise OSError(errno.EIO, reason_of(error), str(folder)) from error


def reason_of(error: BaseException) -> str:
    """What the system said, which libraries hide behind words of their own; else a first line of theirs."""
    causes = list(_causes(error))
    for cause in causes:
        told = re.search(r"os error (\d+)", str(cause))  # as Rust has it
        number = cause.errno if isinstance(cause, OSError) else int(told[1]) if told else None
        if number is not None:
            return os.strerror(number)
    first = next(cause for cause in causes if not _each(cause))
    return (str(first).splitlines() or [type(first).__name__])[0][:200]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        for inner in _each(error):
            yield from _causes(inner)
        error = error.__cause__ or error.__context__


def _each(error: BaseException) -> list[BaseException]:
    """Of each process, as torch.distributed tells them."""
    failures = getattr(error, "failures", None)
    return [failure for failure, _ in failures.values()] if isinstance(failures, dict) else []
