"""All ways to make a target from some numbers with + - * /, each number used once, exactly.

Two solutions are the same if they differ only in the order and grouping of a sum or a product:
3+(8-5), (3+8)-5 and 8+3-5 are one. Solutions are written with as few parentheses as can be.

The search goes from the target down: to make t from a set of numbers, split the set in two, and for
every value of the smaller part solve the larger part for what is then missing. Only small parts are
ever enumerated, so five and six numbers stay affordable. Arithmetic is in exact fractions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

Numbers = tuple[int, ...]
"""A multiset of numbers, sorted."""
Parts = tuple[tuple[str, ...], tuple[str, ...]]
"""What is added and what is subtracted, or what is multiplied and what is divided by."""


class Term(NamedTuple):
    """A sum (`kind` +), a product (*) or a number (""), normalised: `plain` are added or
    multiplied, `inverse` subtracted or divided by; both sorted."""

    kind: str
    plain: tuple[str, ...]
    inverse: tuple[str, ...]

    def text(self) -> str:
        if self.kind == "*":
            return "/".join(("*".join(self.plain), *self.inverse))
        return "-".join(("+".join(self.plain), *self.inverse))


Combine = Callable[[Term, Term], Term]


def solutions(numbers: Iterable[int], target: int) -> tuple[str, ...]:
    """All distinct solutions, sorted, the shortest first."""
    return _solutions(tuple(sorted(numbers)), target)


def any_solution(numbers: Iterable[int], target: int) -> str | None:
    """One solution, None if there is none: for hands too large to list all."""
    term = _any_term(tuple(sorted(numbers)), Fraction(target))
    return None if term is None else term.text()


def solvable(numbers: Iterable[int], target: int) -> bool:
    """Whether there is any solution; much cheaper than listing all."""
    return _reachable(tuple(sorted(numbers)), Fraction(target))


@lru_cache(maxsize=100_000)
def _solutions(numbers: Numbers, target: int) -> tuple[str, ...]:
    texts = {term.text() for term in _terms_for(numbers, Fraction(target))}
    return tuple(sorted(texts, key=lambda text: (len(text), text)))


@lru_cache(maxsize=2**17)
def _terms_for(numbers: Numbers, target: Fraction) -> frozenset[Term]:
    """All terms over all of the numbers whose value is the target."""
    if len(numbers) <= 3:
        return _terms(numbers).get(target, frozenset())
    found: set[Term] = set()
    for small, large in _splits(numbers):
        for value, smalls in _terms(small).items():
            for wanted, combine in _missing(value, target):
                for part in _terms_for(large, wanted):
                    found.update(combine(term, part) for term in smalls)
            if value == target == 0:  # nothing times anything, nothing divided by something
                for other, parts in _terms(large).items():
                    ways = (_times, _over) if other else (_times,)
                    found.update(w(x, y) for w in ways for x in smalls for y in parts)
    return frozenset(found)


@lru_cache(maxsize=2**17)
def _reachable(numbers: Numbers, target: Fraction) -> bool:
    if len(numbers) <= 3:
        return target in _terms(numbers)
    return any(
        value == target == 0 or any(_reachable(large, b) for b, _ in _missing(value, target))
        for small, large in _splits(numbers)
        for value in _terms(small)
    )


def _any_term(numbers: Numbers, target: Fraction) -> Term | None:
    if len(numbers) <= 3:
        return min(_terms(numbers).get(target, ()), default=None)
    for small, large in _splits(numbers):
        for value, terms in _terms(small).items():
            for wanted, combine in _missing(value, target):
                if _reachable(large, wanted) and (rest := _any_term(large, wanted)):
                    return combine(min(terms), rest)
    return None


@lru_cache(maxsize=2**14)
def _terms(numbers: Numbers) -> dict[Fraction, frozenset[Term]]:
    """Every value that a few numbers can make, with all terms that make it."""
    if len(numbers) == 1:
        return {Fraction(numbers[0]): frozenset([Term("", (str(numbers[0]),), ())])}
    table: dict[Fraction, set[Term]] = {}
    for small, large in _splits(numbers):
        for a, a_terms in _terms(small).items():
            for b, b_terms in _terms(large).items():
                for value, combine in _combined(a, b):
                    table.setdefault(value, set()).update(
                        combine(x, y) for x in a_terms for y in b_terms
                    )
    return {value: frozenset(terms) for value, terms in table.items()}


@lru_cache(maxsize=2**14)
def _splits(numbers: Numbers) -> tuple[tuple[Numbers, Numbers], ...]:
    """All ways to part a multiset in two, the smaller part first, each once."""
    found = set()
    everyone = range(len(numbers))
    for size in range(1, len(numbers) // 2 + 1):
        for chosen in combinations(everyone, size):
            rest = tuple(numbers[i] for i in everyone if i not in chosen)
            found.add((tuple(numbers[i] for i in chosen), rest))
    return tuple(sorted(found))


def _combined(a: Fraction, b: Fraction) -> Iterator[tuple[Fraction, Combine]]:
    """Every value of a and b with one operation, and how to write it."""
    yield a + b, _plus
    yield a - b, _minus
    yield b - a, _minus_from
    yield a * b, _times
    if b:
        yield a / b, _over
    if a:
        yield b / a, _over_from


def _missing(a: Fraction, target: Fraction) -> Iterator[tuple[Fraction, Combine]]:
    """Every b, and how to write it, for which a and b make the target; not where all b do."""
    yield target - a, _plus
    yield a - target, _minus
    yield target + a, _minus_from
    if a:
        yield target / a, _times
        yield target * a, _over_from
        if target:
            yield a / target, _over


def _plus(x: Term, y: Term) -> Term:
    return _joined("+", _as_sum(x), _as_sum(y))


def _minus(x: Term, y: Term) -> Term:
    return _joined("+", _as_sum(x), _as_sum(y)[::-1])


def _times(x: Term, y: Term) -> Term:
    return _joined("*", _as_product(x), _as_product(y))


def _over(x: Term, y: Term) -> Term:
    return _joined("*", _as_product(x), _as_product(y)[::-1])


def _minus_from(x: Term, y: Term) -> Term:
    return _minus(y, x)


def _over_from(x: Term, y: Term) -> Term:
    return _over(y, x)


def _joined(kind: str, x: Parts, y: Parts) -> Term:
    return Term(kind, tuple(sorted(x[0] + y[0])), tuple(sorted(x[1] + y[1])))


def _as_sum(term: Term) -> Parts:
    return (term.plain, term.inverse) if term.kind == "+" else ((term.text(),), ())


def _as_product(term: Term) -> Parts:
    if term.kind == "+":
        return (f"({term.text()})",), ()
    return term.plain, term.inverse
