"""Reads pickles from others as data: plain containers, numbers and texts alone.

A pickle is a program; Python's own unpickler runs whatever it names. This one knows no names but
`collections.OrderedDict`, so there is nothing to run, and it is the unpickler written in Python, whose
memo is a dict: a few bytes cannot make it reserve gigabytes. A bytearray could, which is as long as the file
says before it is read: no plain data holds one, so it is not read. Nor are attributes of an OrderedDict, and
its entries are no more than a file of that size can hold: those of one could be copied without end. Keys are
flat: the hash of tuples within tuples, each of them several times, would take for ever. Whole
numbers have at most 64 bits: all multiples of 2^61-1 have the hash 0, so that a dict of them takes
quadratic time, and below 2^64 there are only a few. Of pairs of numbers many can be found that have one hash,
so entries are put in one by one, for as long as a file of that size may take; sets, which no plain data
needs to be large, are small.
"""

from __future__ import annotations

import pickle
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

LARGEST_BYTES = 256 * 2**20
BYTES_A_SECOND = 200_000
"""Any machine reads so many, most of them ten times as many."""
MOST_IN_A_SET = 10_000


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


def _small(load: Callable[[Any], None]) -> Callable[[Any], None]:
    """How a set is loaded, but not a large one."""

    def checked(unpickler: Any) -> None:
        if len(unpickler.stack) > MOST_IN_A_SET:  # since the mark
            raise UnsafePickle(f"it holds a set of more than {MOST_IN_A_SET}")
        load(unpickler)
        if len(unpickler.stack[-1]) > MOST_IN_A_SET:
            raise UnsafePickle(f"it holds a set of more than {MOST_IN_A_SET}")

    return checked


def _put_one(unpickler: Any) -> None:
    value, key = unpickler.stack.pop(), unpickler.stack.pop()
    unpickler.put(unpickler.stack[-1], [key], [value])


def _put_several(unpickler: Any) -> None:
    items = unpickler.pop_mark()
    unpickler.put(unpickler.stack[-1], items[::2], items[1::2])


def _put_into_a_new_one(unpickler: Any) -> None:
    items, made = unpickler.pop_mark(), dict[Any, Any]()
    unpickler.put(made, items[::2], items[1::2])
    unpickler.append(made)


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
            )
        },
        pickle.FROZENSET[0]: _flat(_small(pickle._Unpickler.dispatch[pickle.FROZENSET[0]])),
        pickle.ADDITEMS[0]: _small(pickle._Unpickler.dispatch[pickle.ADDITEMS[0]]),
        pickle.SETITEM[0]: _put_one,
        pickle.SETITEMS[0]: _put_several,
        pickle.DICT[0]: _put_into_a_new_one,
        **{
            opcode[0]: _of_64_bits(pickle._Unpickler.dispatch[opcode[0]])
            for opcode in (pickle.INT, pickle.LONG, pickle.LONG1, pickle.LONG4)
        },
    }
    del dispatch[pickle.BYTEARRAY8[0]], dispatch[pickle.BUILD[0]]

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(file)
        self._room = size
        self._until = time.monotonic() + 10 + size / BYTES_A_SECOND

    def put(self, target: Any, keys: Sequence[Any], values: Sequence[Any]) -> None:
        for number, (key, value) in enumerate(zip(keys, values, strict=True)):
            if number % 1000 == 0 and time.monotonic() > self._until:
                raise UnsafePickle("it takes much longer than plain data of its size")
            target[key] = value

    def _ordered(self, entries: Any = ()) -> OrderedDict[Any, Any]:
        """With its entries, as Python 2 wrote it, or still without."""
        self._room -= len(entries)
        if self._room < 0:
            raise UnsafePickle("it copies the same entries again and again")
        made: OrderedDict[Any, Any] = OrderedDict()
        pairs = list(entries.items() if isinstance(entries, dict) else entries)
        self.put(made, [key for key, _ in pairs], [value for _, value in pairs])
        return made

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
