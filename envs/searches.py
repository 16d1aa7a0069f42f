"""Searches: a number made from others where it has to be found, with what does not come to it written too.

Countdown's goes through all ways in order and says after each how far off it is. With four cards that would
be thousands of tokens, so there the first statements come in an order in which they lead on soon: all that
the three numbers then left come to is gone through, and where nothing is the target the next is tried.

What is left is said with each statement, so that nothing has to be kept in mind:

    10 / 5 = 2 and 7 and 10; 7 + 2 = 9 and 10; 7 - 2 = 5 and 10; 7 * 2 = 14 and 10, 14 + 10 = 24.
    So 10 / 5 = 2; 7 * 2 = 14, 14 + 10 = 24

Everything that a decision hangs on stands beside it. Whether two numbers are the same is nothing that a small
model learns from a few hundred texts; whether a difference is 0 is, or whether a number is a target that is
always the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from envs.derivation import Derived, Number, derive, pairs, ways

Ways = Callable[[Derived, Derived], Iterator[Derived]]
Ends = Callable[[Derived, Derived], Iterator[tuple[str, Derived | None]]]
SEARCHED = 3
"""Numbers that are left when all ways are gone through: three come to some fifty ends, four to a thousand. Of
more than a search takes, the first statements are those of the simplest derivation."""
TRIES = 4
"""First statements that lead nowhere, at most: each is some 150 tokens of the tiny model."""
LEAST = 2
"""First statements come by their results from here on upwards, and those of 0 and 1 last. Of those that come
to 2, 3 or 4 of an ordinary hand's cards 39 % lead on, of larger ones 25 to 29 %, of 0 and 1 6 and 21 %: three
tries do for 79 % of the hands that can be solved so, and for 59 % in a random order."""
MARKS = (", ", "; ", ". ")
"""Before a statement that leaves one number, two, or more."""
NEAR = 3
"""A last statement is written where it comes so near to the target: which ones do can be told at a glance,
and to be wrong about that costs a statement."""


def searched(numbers: Sequence[int], target: int) -> tuple[list[str], Derived] | None:
    """The first derivation that comes to the target when all of them are gone through in order, and what is
    written on the way: each statement, and after each last one how far off it is. None where whole numbers do
    not do.

        11 + 7 = 18 and 3; 18 + 3 = 21; 32 - 21 = 11; 18 * 3 = 54; 54 - 32 = 22; 11 - 7 = 4 and 3; ...

    What is too small is multiplied next, and what is too large subtracted from or divided: everything else
    would be further off. A difference of 0 is the end."""
    begun = _prefix(numbers, target, SEARCHED)
    if begun is None:
        return None
    lines, there = begun
    written, found = _until_found(gone_through(there, telling, partial(_how_far, target=target)))
    return (lines + written, found) if found else None


def tried(
    numbers: Sequence[int], target: int, tries: int = TRIES
) -> tuple[list[str], Derived] | None:
    """A search of cards, whose target is always the same: first statements from small results to large ones,
    and after each all that the numbers then left come to, until that is the target. After as many as `tries`
    that lead nowhere the next is one that leads on. None where none does in whole numbers that are not too
    large."""
    begun = _prefix(numbers, target, SEARCHED + 1)
    if begun is None:
        return None
    lines, there = begun
    second = partial(of_use, largest=max(100, 4 * target))
    ends = partial(_near, target=target)
    if len(there) <= SEARCHED:
        written, found = _until_found(gone_through(there, second, ends))
        return (written, found) if found else None
    seen = set()
    for first, rest in sorted(firsts(there, max(50, 2 * target)), key=_by_result):
        left = tuple(sorted(number.value for number in (first, *rest)))
        if left in seen:
            continue
        written, found = _until_found(gone_through((first, *rest), second, ends))
        if found is None and not tries:
            continue
        seen.add(left)
        lines += [with_what_is_left(first, rest), *written]
        if found is not None:
            return lines, found
        tries -= 1
    return None


def _by_result(begun: tuple[Derived, tuple[Derived, ...]]) -> tuple[bool, Number]:
    return begun[0].value < LEAST, begun[0].value


def joined(lines: Sequence[str]) -> str:
    """A search as one text. What stands before a statement says how many numbers there are to take from: a
    full stop for four or more, a semicolon for three, a comma for the last two. So how it goes on is decided
    before the statement, and one that went before is found by what stands before it."""
    return _marked((line.count(" and "), line) for line in lines)


def concluded(lines: Sequence[str]) -> str:
    """A search, and again what it found: the latest statement after each mark, after that mark again. A
    formula follows from a few statements that stand beside it, and hardly from some that are scattered."""
    latest = {line.count(" and "): line.split(" and ")[0] for line in lines}
    return f"{joined(lines)}. So {_marked(sorted(latest.items(), reverse=True))}"


def _marked(lines: Iterable[tuple[int, str]]) -> str:
    """With the mark that fits how many numbers are left beside each one's result before all but the first."""
    text = "".join(f"{MARKS[min(left, len(MARKS) - 1)]}{line}" for left, line in lines)
    return text[len(MARKS[0]) :]


def firsts(there: tuple[Derived, ...], largest: int) -> list[tuple[Derived, tuple[Derived, ...]]]:
    """Every first statement that is not too large, and the numbers beside it."""
    return [
        (way, rest)
        for one, other, rest in pairs(there)
        for way in telling(one, other)
        if way.value <= largest
    ]


def _prefix(
    numbers: Sequence[int], target: int, left: int
) -> tuple[list[str], tuple[Derived, ...]] | None:
    """The simplest derivation's statements until so many numbers are left, and these. None where one of them
    is no whole number: what follows could not be gone through."""
    lines: list[str] = []
    there = tuple(Derived(number) for number in numbers)
    simplest = derive(numbers, target) if len(there) > left else None
    for step in () if simplest is None else simplest.made():
        if len(there) == left:
            break
        rest = list(there)
        rest.remove(step.left)  # type: ignore[arg-type]
        rest.remove(step.right)  # type: ignore[arg-type]
        if step.value.denominator != 1:
            return None
        lines.append(with_what_is_left(step, rest))
        there = (step, *rest)
    return lines, there


def _until_found(
    written: Iterable[tuple[str, Derived | None]],
) -> tuple[list[str], Derived | None]:
    """The lines as far as the one with which something is found."""
    lines: list[str] = []
    for line, found in written:
        lines.append(line)
        if found is not None:
            return lines, found
    return lines, None


def gone_through(
    there: tuple[Derived, ...], second: Ways, ends: Ends
) -> Iterator[tuple[str, Derived | None]]:
    """All that up to three numbers come to: `second` statements of two of three, `ends` of two."""
    if len(there) == 2:
        yield from ends(*there)
        return
    for one, other, rest in pairs(there):
        for way in second(one, other):
            yield with_what_is_left(way, rest), None
            yield from gone_through((way, *rest), second, ends)


def _near(one: Derived, other: Derived, target: int) -> Iterator[tuple[str, Derived | None]]:
    for last in telling(one, other):
        if -NEAR <= last.value - target <= NEAR:
            yield last.statement(), last if last.value == target else None


def _how_far(one: Derived, other: Derived, target: int) -> Iterator[tuple[str, Derived | None]]:
    for last in _nearing(one, other, target):
        large, small = max(last.value, target), min(last.value, target)
        yield last.statement(), None
        yield f"{large} - {small} = {large - small}", last if large == small else None


def _nearing(one: Derived, other: Derived, target: int) -> Iterator[Derived]:
    """What two numbers make that may be the target."""
    by_sign = {way.sign: way for way in ways(one, other, whole=True)}
    yield by_sign["+"]
    if by_sign["+"].value != target:
        signs = "*" if by_sign["+"].value < target else "-/"
        yield from (by_sign[sign] for sign in signs if sign in by_sign)


def of_use(one: Derived, other: Derived, largest: int) -> Iterator[Derived]:
    """What two numbers make that may come near a target yet."""
    return (way for way in telling(one, other) if 0 < way.value <= largest)


def telling(one: Derived, other: Derived) -> Iterator[Derived]:
    """What two numbers make, in whole numbers; to divide by 1 is to multiply by it."""
    for way in ways(one, other, whole=True):
        if way.sign != "/" or way.right is None or way.right.value != 1:
            yield way


def with_what_is_left(step: Derived, rest: Sequence[Derived]) -> str:
    return " and ".join([step.statement(), *(str(number.value) for number in rest)])
