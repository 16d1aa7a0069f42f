"""Exercises in going through: all that a few numbers come to, in order, with what is left of them.

To keep count of which numbers are left, to miss none and to write the formula of a statement that was made
long ago are skills that every search is made of. What is looked for is nothing: which last statements are
written is said by bounds that are drawn at random, and where a text ends is drawn too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from amft_mm.pretraining.cards import RULES
from amft_mm.pretraining.exercise import Exercise, Rng, Turn, pick
from envs.derivation import Derived
from envs.general_points.cards import FACE_RULES, RANKS, Card
from envs.general_points.prompts import faces_words
from envs.searches import (
    concluded,
    firsts,
    gone_through,
    joined,
    of_use,
    telling,
    with_what_is_left,
)

LARGEST = 100
"""What goes on with is no larger."""
LARGEST_FIRST = 50
MOST_WHOLE = 2
"""First statements that are gone on from to the end, before the last."""


@dataclass(frozen=True)
class Bounds:
    """Of the last statements that are written."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"Ends from {self.low} to {self.high}."

    def ends(self, one: Derived, other: Derived) -> Iterator[tuple[str, Derived | None]]:
        for last in telling(one, other):
            if self.low <= last.value <= self.high:
                yield last.statement(), last


EVERYTHING = Bounds(0, LARGEST**2)


def two(rng: Rng) -> Exercise:
    """What pairs of numbers come to by every sign."""
    turns = []
    for _ in range(int(rng.integers(3, 7))):
        numbers = [Derived(_number(rng)), Derived(_number(rng))]
        said = [way.statement() for way in telling(*numbers)]
        turns.append(Turn(f"Every way: {_listed(numbers)}.", None, _separator(rng).join(said)))
    return turns


def three(rng: Rng) -> Exercise:
    """All that three numbers come to between bounds; half of the time as far as some end, with its formula,
    before which its statements may be said again."""
    turns = []
    for _ in range(int(rng.integers(1, 4))):
        numbers = tuple(Derived(_number(rng)) for _ in range(3))
        bounds = _bounds(rng)
        written = list(_all_of(numbers, bounds))
        ends = [index for index, (_, end) in enumerate(written) if end]
        told = f"Every way: {_listed(numbers)}. {bounds}"
        if ends and rng.random() < 0.5:
            at = pick(rng, ends)
            lines = [line for line, _ in written[: at + 1]]
            words, answer = _with_formula(rng, lines, written[at][1])
            turns.append(Turn(f"{told} {words}", None, answer))
        else:
            text = _joined(rng, [line for line, _ in written]) or "None."
            turns.append(Turn(told, None, text))
    return turns


def four(rng: Rng) -> Exercise:
    """Any statement of four numbers and all that the three then left come to, for one or a few; as far as
    some end, with its formula."""
    numbers = [_small(rng) for _ in range(4)]
    bounds, said, end = _begun(rng, numbers)
    words, answer = _with_formula(rng, said, end)
    return [Turn(f"Begin: {', '.join(map(str, numbers))}. {bounds} {words}", None, answer)]


def four_in_json(rng: Rng) -> Exercise:
    """The same in the middle of a longer answer, with cards by a rule."""
    faces = FACE_RULES[pick(rng, RULES)]
    cards = [Card(int(rng.integers(1, 14)), "S") for _ in range(4)]
    numbers = [card.number(faces) for card in cards]
    ranks = [RANKS[card.rank - 1] for card in cards]
    bounds, said, end = _begun(rng, numbers)
    told = f"Cards: {', '.join(ranks)}. {pick(rng, faces_words(faces))} Begin. {bounds}"
    fields = {"cards": ranks, "number": numbers, "thought": concluded(said)}
    return [Turn(told, None, json.dumps(fields | {"formula": f"{end.formula()}={end.value}"}))]


def scattered(rng: Rng) -> Exercise:
    """Few of all ways, and the steps and the formula of the last: short, so that saying again what went
    before is learnt where most words need it."""
    turns = []
    for _ in range(int(rng.integers(1, 4))):
        numbers = [_small(rng) for _ in range(4)]
        begun, lines = firsts(tuple(map(Derived, numbers)), LARGEST_FIRST), []
        for left in reversed(range(int(rng.integers(1, 4)))):
            first, rest = pick(rng, begun)
            ways = _ways((first, *rest))
            lines.append(with_what_is_left(first, rest))
            last = len(ways) if left else int(rng.integers(len(ways)))
            for way, ends in ways[:last]:
                if rng.random() < 0.12:
                    lines += [way, *(line for line, _ in ends if rng.random() < 0.4)]
        way, ends = ways[last]
        line, end = pick(rng, ends)
        answer = f"{concluded([*lines, way, line])}\n{end.formula()}={end.value}"
        turns.append(Turn(f"Some ways: {', '.join(map(str, numbers))}.", None, answer))
    return turns


def _ways(there: tuple[Derived, ...]) -> list[tuple[str, list[tuple[str, Derived]]]]:
    """Every second statement, each with all its ends."""
    ways: list[tuple[str, list[tuple[str, Derived]]]] = []
    for line, end in _all_of(there, EVERYTHING):
        if end is None:
            ways.append((line, []))
        else:
            ways[-1][1].append((line, end))
    return ways


def _begun(rng: Rng, numbers: Sequence[int]) -> tuple[Bounds, list[str], Derived]:
    """Bounds, what is written, and the end with which it stops."""
    begun = firsts(tuple(map(Derived, numbers)), LARGEST_FIRST)
    while True:
        bounds, whole = _bounds(rng), int(rng.integers(MOST_WHOLE + 1))
        said: list[str] = []
        for index in rng.permutation(len(begun)):
            first, rest = begun[int(index)]
            written = list(_all_of((first, *rest), bounds))
            ends = [at for at, (_, end) in enumerate(written) if end]
            if whole:
                whole -= 1
                said += _lines(first, rest, written)
            elif ends:
                written = written[: pick(rng, ends) + 1]
                end = written[-1][1]
                assert end is not None
                return bounds, said + _lines(first, rest, written), end


def _lines(
    first: Derived, rest: Sequence[Derived], written: Sequence[tuple[str, Derived | None]]
) -> list[str]:
    return [with_what_is_left(first, rest), *(line for line, _ in written)]


def _all_of(there: tuple[Derived, ...], bounds: Bounds) -> Iterator[tuple[str, Derived | None]]:
    return gone_through(there, partial(of_use, largest=LARGEST), bounds.ends)


def _bounds(rng: Rng) -> Bounds:
    """Mostly narrow: what everything comes to is long."""
    middle, width = int(rng.integers(0, 61)), int(rng.integers(0, 9))
    return EVERYTHING if rng.random() < 0.05 else Bounds(max(0, middle - width), middle + width)


def _small(rng: Rng) -> int:
    return int(rng.integers(1, 14))


def _number(rng: Rng) -> int:
    kind = rng.random()
    return int(rng.integers(1, 14) if kind < 0.7 else rng.integers(0, 51 if kind < 0.95 else 101))


def _listed(numbers: Sequence[Derived]) -> str:
    return ", ".join(str(number.value) for number in numbers)


def _separator(rng: Rng) -> str:
    return str(pick(rng, ("; ", "; ", "\n", ". ")))


def _with_formula(rng: Rng, lines: Sequence[str], end: Derived) -> tuple[str, str]:
    """What is asked for, and what is written, with the formula of its end."""
    formula = end.formula()
    tail = pick(rng, (f"\n{formula}={end.value}", f"\nThe answer is \\boxed{{{formula}}}."))
    if rng.random() < 0.6:
        return "With steps and a formula.", concluded(lines) + tail
    return "With a formula.", _joined(rng, lines) + tail


def _joined(rng: Rng, lines: Sequence[str]) -> str:
    return joined(lines) if rng.random() < 0.7 else _separator(rng).join(lines)
