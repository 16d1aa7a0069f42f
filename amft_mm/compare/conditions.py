"""What conditions change: how each method fares under each of them, and beside a baseline.

A method that uses no demonstrations, or no rewards, is not run again where only these are changed: it fares
as its runs of `clean` do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from amft_mm.compare.parts import Cell, Table, over
from amft_mm.compare.result import Result
from amft_mm.compare.selecting import (
    Before,
    begun_with,
    by_seed,
    conditions_of,
    curves_of,
    methods_of,
    sampled,
)
from amft_mm.compare.statistics import BySeed, Estimate, difference, mean_difference, mean_of

CLEAN = "clean"
Scores = Callable[[Sequence[Result], str], BySeed]
"""Those of a method, among results."""


@dataclass(frozen=True)
class Standing:
    """Of a method under a condition, on the first split."""

    success: Estimate
    gained: Estimate | None
    """Since the warm-up, where that is known."""
    mu: float | None
    """At the end, where there is one."""


Conditions = dict[str, dict[str, Standing]]
"""By method and condition, where it was run."""


def under_conditions(results: Sequence[Result], before: Before) -> Conditions:
    """Of an environment's runs."""
    found: Conditions = {}
    for condition in conditions_of(results):
        here = _ended_well(results, condition)
        for method in methods_of(here):
            scores = by_seed(here, method)
            ends = [points[-1][1] for points in curves_of(here, method, "mu").values()]
            mu = float(np.mean(ends)) if ends else None
            first = begun_with(here, before, next(iter(here[0].scores)))
            standing = Standing(mean_of(scores), difference(scores, first), mu)
            found.setdefault(method, {})[condition] = standing
    return found


def conditions_table(results: Sequence[Result], found: Conditions) -> Table:
    rows = []
    for condition in conditions_of(results):
        row: list[Cell | str] = [condition]
        for method, of_method in found.items():
            cell = of_method.get(condition)
            if cell is None:
                row.append("as clean" if _heedless(results, method, condition) else "crashed")
            else:
                learnt = "" if cell.mu is None else f", mu {cell.mu:.2f}"
                row.append(Cell(cell.success.as_share() + learnt, cell.success))
        rows.append(row)
    return ["condition", *(f"{method}, %" for method in found)], rows


def differences_table(results: Sequence[Result], baseline: str, scores: Scores) -> Table:
    """Of the other methods to the baseline, over the same seeds; of those that have such scores."""
    conditions = conditions_of(results)

    def cell(method: str, condition: str) -> Cell | str:
        mine, theirs = (scores(_as_it_fares(results, m, condition), m) for m in (method, baseline))
        return over(difference(mine, theirs))

    others = [method for method in methods_of(results) if method != baseline]
    columns = {f"{m} over {baseline}": [cell(m, c) for c in conditions] for m in others}
    known = {head: cells for head, cells in columns.items() if any(cells)}
    rows = zip(conditions, *known.values(), strict=True)
    return ["condition", *known], [list(row) for row in rows]


def losses_table(results: Sequence[Result]) -> Table:
    """What choosing a method may cost: the most that it loses to another under a condition, over the same
    seeds, greedily and as training plays."""
    heads, columns = ["method"], []
    for cell, scores in (("at most lost, points", by_seed), ("of sampled success", sampled)):
        column = {method: _most_lost(results, method, scores) for method in methods_of(results)}
        if any(column.values()):
            heads.append(cell)
            columns.append(column)
    return heads, [[m, *(column[m] for column in columns)] for m in methods_of(results)]


def _most_lost(results: Sequence[Result], method: str, scores: Scores) -> str:
    found = []
    for condition in conditions_of(results):
        own = scores(_as_it_fares(results, method, condition), method)
        for other in methods_of(results):
            theirs = scores(_as_it_fares(results, other, condition), other)
            less = mean_difference(theirs, own)
            if less is not None:
                found.append((less, f"{100 * less:.1f} ({condition}, to {other})"))
    return max(found)[1] if found else ""


def _as_it_fares(results: Sequence[Result], method: str, condition: str) -> list[Result]:
    return _ended_well(results, CLEAN if _heedless(results, method, condition) else condition)


def title_of(env: str, condition: str) -> str:
    return env if condition == CLEAN else f"{env}, {condition}"


def _ended_well(results: Sequence[Result], condition: str) -> list[Result]:
    return [r for r in results if r.condition == condition and r.state == "finished"]


def _heedless(results: Sequence[Result], method: str, condition: str) -> bool:
    return not any(r.method == method and r.condition == condition for r in results)
