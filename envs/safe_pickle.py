"""Reads pickles from others as data: plain containers, numbers and texts alone.

A pickle is a program; Python's own unpickler runs whatever it names. This one knows no names but
`collections.OrderedDict`, so there is nothing to run, and it is the unpickler written in Python, whose
memo is a dict: a few bytes cannot make it reserve gigabytes. A bytearray could, which is as long as the file
says before it is read: no plain data holds one, so it is not read. Nor are attributes of an OrderedDict, and
its entries are no more than a file of that size can hold: those of one could be copied without end. Keys are
flat: the hash of tuples within tuples, each of them several times, would take for ever. Whole
numbers have at most 64 bits: all multiples of 2^61-1 have the hash 0, so that a dict of them takes
quadratic time, and below 2^64 there are only a few.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

LARGEST_BYTES = 256 * 2**20


class UnsafePickle(ValueError):
    """The file names something that is not plain data, or is no pickle."""


def _flat(load: Callable[[Any], None]) -> Callable[[Any], None]:
    """How a tuple is loaded, but with nothing in it that is hashed part by part."""

    def checked(unpickler: Any) -> None:
        load(unpickler)
        if any(isinstance(part, tuple | frozenset) for part in unpickler.stack[-1]):
            raise UnsafePickle(
                "it holds tuples or frozen sets within others, which is not plain data"
            )

    return checked


def _of_64_bits(load: Callable[[Any], None]) -> Callable[[Any], None]:
    """How a whole number is loaded, but refused where it has more bits."""

    def checked(unpickler: Any) -> None:
        load(unpickler)
        if not -(2**63) <= unpickler.stack[-1] < 2**64:
            raise UnsafePickle("it holds a whole number beyond 64 bits, which is not plain data")

    return checked


class _PlainUnpickler(pickle._Unpickler):
    dispatch: ClassVar = {
        **pickle._Unpickler.dispatch,
        **{
            opcode[0]: _flat(pickle._Unpickler.dispatch[opcode[0]])
            for opcode in (
                pickle.TUPLE,
                pickle.TUPLE1,
                pickle.TUPLE2,
                pickle.TUPLE3,
                pickle.FROZENSET,
            )
        },
        **{
            opcode[0]: _of_64_bits(pickle._Unpickler.dispatch[opcode[0]])
            for opcode in (pickle.INT, pickle.LONG, pickle.LONG1, pickle.LONG4)
        },
    }
    del dispatch[pickle.BYTEARRAY8[0]], dispatch[pickle.BUILD[0]]

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(file)
        self._room = size

    def _ordered(self, entries: Any = ()) -> OrderedDict[Any, Any]:
        """With its entries, as Python 2 wrote it, or still without."""
        self._room -= len(entries)
        if self._room < 0:
            raise UnsafePickle("it copies the same entries again and again")
        return OrderedDict(entries)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return self._ordered
        raise UnsafePickle(f"it names {module}.{name}, which is not plain data")

    def persistent_load(self, pid: Any) -> Any:
        raise UnsafePickle("it refers to an object outside itself")


def load_plain_pickle(path: Path) -> Any:
    """What a pickle file of plain data holds; an error that names the file for anything else."""
    size = path.stat().st_size
    if size > LARGEST_BYTES:
        raise UnsafePickle(f"{path}: {size} bytes are more than {LARGEST_BYTES}: too large")
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file, size).load()
    except UnsafePickle as error:
        raise UnsafePickle(f"{path}: {error}") from None
    except Exception as error:  # a broken pickle can raise nearly anything
        raise UnsafePickle(f"{path}: not a readable pickle ({error!r:.200})") from None
