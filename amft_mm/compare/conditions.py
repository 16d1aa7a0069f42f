"""What conditions change: how each method fares under each of them, and beside a baseline.

A method that uses no demonstrations, or no rewards, is not run again where only these are changed: it fares
as its runs of `clean` do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from amft_mm.compare.grid import UNLEARNT, heedless_of
from amft_mm.compare.parts import Cell, Table, over
from amft_mm.compare.power import noise_of
from amft_mm.compare.result import Result
from amft_mm.compare.selecting import (
    Before,
    begun_with,
    by_seed,
    conditions_of,
    curves_of,
    methods_of,
    runs_of,
    sampled,
)
from amft_mm.compare.statistics import BySeed, Estimate, difference, mean_difference, mean_of
from amft_mm.compare.terms import OF_A_RUN
from amft_mm.compare.verdicts import ONCE, Verdicts
from amft_mm.methods.presets import methods

CLEAN, AS_CLEAN = "clean", "as clean"
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
                heedless = is_heedless(results, method, condition)
                text, where = (AS_CLEAN, CLEAN) if heedless else ("crashed", condition)
                runs = runs_of(_under(results, where), method)
                row.append(Cell(text, runs=runs) if runs else "")
            else:
                learnt = "" if cell.mu is None else f", mu {cell.mu:.2f}"
                runs = runs_of(as_it_fares(results, method, condition), method)
                row.append(Cell(cell.success.as_share() + learnt, cell.success, runs=runs))
        rows.append(row)
    return ["condition", *(f"{method}, %" for method in found)], rows


def differences_table(
    results: Sequence[Result], baseline: str, scores: Scores, verdicts: Verdicts = ONCE
) -> Table:
    """Of the other methods to the baseline, over the same seeds; of those that have such scores."""
    conditions, env = conditions_of(results), results[0].env
    scatter = {
        c: noise_of({m: scores(as_it_fares(results, m, c), m) for m in methods_of(results)})
        for c in {CLEAN, *conditions}
    }

    def cell(method: str, condition: str) -> Cell | str:
        pair = (method, baseline)
        runs = [as_it_fares(results, m, condition) for m in pair]
        mine, theirs = (scores(own, m) for own, m in zip(runs, pair, strict=True))
        alike = all(is_heedless(results, m, condition) for m in pair)
        where = CLEAN if alike else condition  # then they are one pair, with one answer
        between = (env, where, method, baseline) if scores is by_seed else None
        led = [r for own, m in zip(runs, pair, strict=True) for r in runs_of(own, m)]
        return over(verdicts.apart(mine, theirs, scatter[where], between), tuple(led))

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


def _most_lost(results: Sequence[Result], method: str, scores: Scores) -> Cell | str:
    found = []
    for condition in conditions_of(results):
        here = as_it_fares(results, method, condition)
        own = scores(here, method)
        for other in methods_of(results):
            there = as_it_fares(results, other, condition)
            less = mean_difference(scores(there, other), own)
            if less is not None:
                text = f"{100 * less:.1f} ({condition}, to {other})"
                led = () if other == method else runs_of(there, other)
                found.append((less, text, (*runs_of(here, method), *led)))
    if not found:
        return ""
    _, text, runs = max(found, key=lambda one: one[:2])
    return Cell(text, runs=runs)


def as_it_fares(results: Sequence[Result], method: str, condition: str) -> list[Result]:
    """The runs that tell of it, of this condition or of `clean`."""
    return _ended_well(results, CLEAN if is_heedless(results, method, condition) else condition)


def title_of(env: str, condition: str) -> str:
    return env if condition == CLEAN else f"{env}, {condition}"


def is_heedless(results: Sequence[Result], method: str, condition: str) -> bool:
    """Whether it was not run under this condition since that changes nothing for it, and not since nobody has
    yet. Where results do not say by which settings they were made, it is taken for the former."""
    if any(r.method == method and r.condition == condition for r in results):
        return False
    changed = _changed(results, condition)
    usual = next((r for r in results if r.method == method and r.condition == CLEAN), None)
    if usual is None or not changed:
        return True
    named = [word.removeprefix("method=") for word in usual.settings if word.startswith("method=")]
    preset = methods().get(named[0]) if named else None
    names = [word.lstrip("+").partition("=")[0] for word in usual.settings]
    heedless = heedless_of(preset, names) if preset else None
    return heedless is not None and all(name.startswith(heedless) for name in changed)


def _changed(results: Sequence[Result], condition: str) -> set[str]:
    """The settings in which it is not `clean`, as a method that ran under both has them."""
    there = {(r.method, r.seed): r for r in _under(results, condition)}
    for clean in _under(results, CLEAN):
        if other := there.get((clean.method, clean.seed)):
            words = set(clean.settings) ^ set(other.settings)
            names = {word.lstrip("+").partition("=")[0] for word in words}
            return {n for n in names if n not in OF_A_RUN and not n.startswith(UNLEARNT)}
    return set()


def _under(results: Sequence[Result], condition: str) -> list[Result]:
    return [r for r in results if r.condition == condition]


def _ended_well(results: Sequence[Result], condition: str) -> list[Result]:
    return [r for r in _under(results, condition) if r.state == "finished"]
