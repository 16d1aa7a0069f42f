"""Derivations: a number made from others in short true statements, and the formula that follows.

    10 - 4 = 6; 7 - 3 = 4; 6 * 4 = 24        (10-4)*(7-3)

A statement takes two numbers that are there and leaves its result in their place. The larger one stands
first, so that nothing is ever negative; a fraction comes only where whole numbers do not do. The
statements come in the order in which the formula reads, what is inside first, and the formula has each of
them but the last in parentheses: one rule, with no precedence to think of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations, islice

import numpy as np

Number = int | Fraction
COMPARED = 300
"""Of so many derivations the simplest is taken; numbers as few as four have no more."""
SEARCHED = 3
"""Numbers that are left when a search begins: three come to some fifty ends at most, four to a thousand."""


@dataclass(frozen=True)
class Derived:
    """A number: a given one, or one that `left sign right` made."""

    value: Number
    sign: str = ""
    left: Derived | None = None
    right: Derived | None = None

    def statements(self) -> tuple[str, ...]:
        """How it is made, one statement for each sign."""
        if self.left is None or self.right is None:
            return ()
        return (*self.left.statements(), *self.right.statements(), self.statement())

    def statement(self) -> str:
        """Of its own sign, where it has one."""
        if self.left is None or self.right is None:
            return ""
        return f"{_operand(self.left)} {self.sign} {_operand(self.right)} = {self.value}"

    def formula(self) -> str:
        if self.left is None or self.right is None:
            return str(self.value)
        return f"{_enclosed(self.left)}{self.sign}{_enclosed(self.right)}"

    def made(self) -> Iterator[Derived]:
        """Itself and all that it is made of, as far as these were made too."""
        if self.left is not None and self.right is not None:
            yield from self.left.made()
            yield from self.right.made()
            yield self


def derive(numbers: Iterable[int], target: int) -> Derived | None:
    """The simplest way to make the target of all the numbers, each once; None if there is none."""
    return _simplest(tuple(sorted(numbers, reverse=True)), target)


def searched(numbers: Sequence[int], target: int) -> tuple[list[str], Derived] | None:
    """The first derivation that comes to the target when all of them are gone through in order, and what is
    written on the way: each statement, and after each last one how far off it is. None where whole numbers do
    not do.

        11 + 7 = 18 and 3; 18 + 3 = 21; 32 - 21 = 11; 18 * 3 = 54; 54 - 32 = 22; 11 - 7 = 4 and 3; ...

    What is left is said, so that nothing has to be kept in mind. What is too small is multiplied next, and
    what is too large subtracted from or divided: everything else would be further off. A difference of 0 is
    the end, which is a sign to be read; whether two numbers are the same is nothing that a small model learns
    from a few hundred such texts. Of more than three numbers the first statements are those of the simplest
    derivation: which ones is not searched for."""
    lines: list[str] = []
    there = [Derived(number) for number in numbers]
    if len(there) > SEARCHED:
        simplest = derive(numbers, target)
        for step in () if simplest is None else simplest.made():
            if len(there) == SEARCHED:
                break
            rest = _without(there, step)
            lines.append(_with_what_is_left(step, rest))
            there = [step, *rest]
    for line, found in _gone_through(tuple(there), target):
        lines.append(line)
        if found is not None:
            return lines, found
    return None


def _with_what_is_left(step: Derived, rest: Sequence[Derived]) -> str:
    return " and ".join([step.statement(), *(str(number.value) for number in rest)])


def _without(there: Sequence[Derived], step: Derived) -> list[Derived]:
    """What is left beside a step's result."""
    left = list(there)
    left.remove(step.left)  # type: ignore[arg-type]
    left.remove(step.right)  # type: ignore[arg-type]
    return left


def _gone_through(there: tuple[Derived, ...], target: int) -> Iterator[tuple[str, Derived | None]]:
    if len(there) == 2:
        for last in _nearing(*there, target):
            large, small = max(last.value, target), min(last.value, target)
            yield last.statement(), None
            yield f"{large} - {small} = {large - small}", last if large == small else None
        return
    for one, other, rest in _pairs(there):
        for way in _ways(one, other, whole=True):
            if way.sign != "/" or way.right != Derived(1):  # times 1 comes to the same
                yield _with_what_is_left(way, rest), None
                yield from _gone_through((way, *rest), target)


def _nearing(one: Derived, other: Derived, target: int) -> Iterator[Derived]:
    """What two numbers make that may be the target."""
    ways = {way.sign: way for way in _ways(one, other, whole=True)}
    yield ways["+"]
    if ways["+"].value != target:
        signs = "*" if ways["+"].value < target else "-/"
        yield from (ways[sign] for sign in signs if sign in ways)


def wander(numbers: Sequence[int], rng: np.random.Generator, most: int) -> Derived:
    """A random derivation from all the numbers; no result is above `most`, unless it cannot be helped."""
    there = [Derived(number) for number in numbers]
    while len(there) > 1:
        one = there.pop(int(rng.integers(len(there))))
        other = there.pop(int(rng.integers(len(there))))
        ways = list(_ways(one, other, whole=True))
        small = [way for way in ways if way.value <= most] or ways
        there.append(small[int(rng.integers(len(small)))])
    return there[0]


def stray(
    numbers: Sequence[int], target: int, rng: np.random.Generator, most: int = 100
) -> Derived:
    """A random derivation that does not end at the target."""
    while True:
        derived = wander(numbers, rng, most)
        if derived.value != target:
            return derived


def _operand(number: Derived) -> str:
    return str(number.value) if number.value.denominator == 1 else f"({number.value})"


def _enclosed(number: Derived) -> str:
    return f"({number.formula()})" if number.sign else number.formula()


@lru_cache(maxsize=20_000)
def _simplest(numbers: tuple[int, ...], target: int) -> Derived | None:
    given = tuple(Derived(number) for number in numbers)
    for whole in (True, False):
        found = islice(_all(given, target, whole), COMPARED)
        if (best := min(found, key=_complexity, default=None)) is not None:
            return best
    return None


def _complexity(derived: Derived) -> tuple[object, ...]:
    """Few divisions, a product at the end (there are few to know), small numbers; what is level is told
    apart by its words."""
    made = list(derived.made())
    return (
        sum(step.sign == "/" for step in made),
        derived.sign != "*",
        max((step.value for step in made), default=0),
        derived.statements(),
    )


def _all(there: tuple[Derived, ...], target: Number, whole: bool) -> Iterator[Derived]:
    if len(there) == 1:
        if there[0].value == target:
            yield there[0]
        return
    for one, other, rest in _pairs(there):
        for way in _ways(one, other, whole):
            yield from _all((*rest, way), target, whole)


def _pairs(
    there: tuple[Derived, ...],
) -> Iterator[tuple[Derived, Derived, tuple[Derived, ...]]]:
    """Two of them and the others; equal pairs once."""
    tried = set()
    for i, j in combinations(range(len(there)), 2):
        if (there[i], there[j]) not in tried:
            tried.add((there[i], there[j]))
            yield there[i], there[j], (*there[:i], *there[i + 1 : j], *there[j + 1 :])


def _ways(one: Derived, other: Derived, whole: bool) -> Iterator[Derived]:
    """What one statement makes of two numbers; with `whole`, as far as it is a whole number."""
    large, small = (one, other) if one.value >= other.value else (other, one)
    a, b = large.value, small.value
    yield Derived(a + b, "+", large, small)
    yield Derived(a - b, "-", large, small)
    yield Derived(a * b, "*", large, small)
    if b and (not whole or a % b == 0):
        yield Derived(_ratio(a, b), "/", large, small)
    if not whole and a and a != b:
        yield Derived(_ratio(b, a), "/", small, large)


def _ratio(a: Number, b: Number) -> Number:
    ratio = Fraction(a) / b
    return ratio.numerator if ratio.denominator == 1 else ratio
