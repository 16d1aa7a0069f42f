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


def wander(numbers: Sequence[int], rng: np.random.Generator, most: int) -> Derived:
    """A random derivation from all the numbers; no result is above `most`, unless it cannot be helped."""
    there = [Derived(number) for number in numbers]
    while len(there) > 1:
        one = there.pop(int(rng.integers(len(there))))
        other = there.pop(int(rng.integers(len(there))))
        made = list(ways(one, other, whole=True))
        small = [way for way in made if way.value <= most] or made
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
    for one, other, rest in pairs(there):
        for way in ways(one, other, whole):
            yield from _all((*rest, way), target, whole)


def pairs(
    there: tuple[Derived, ...],
) -> Iterator[tuple[Derived, Derived, tuple[Derived, ...]]]:
    """Two of them and the others; equal pairs once, in whichever order they stand."""
    tried: set[tuple[Derived, Derived]] = set()
    for i, j in combinations(range(len(there)), 2):
        if (there[i], there[j]) not in tried:
            tried |= {(there[i], there[j]), (there[j], there[i])}
            yield there[i], there[j], (*there[:i], *there[i + 1 : j], *there[j + 1 :])


def ways(one: Derived, other: Derived, whole: bool) -> Iterator[Derived]:
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
