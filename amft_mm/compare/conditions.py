"""What conditions change: how each method fares under each of them, and beside a baseline.

A method that uses no demonstrations, or no rewards, is not run again where only these are changed: it fares
as its runs of `clean` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from amft_mm.compare.page import Table
from amft_mm.compare.result import Result
from amft_mm.compare.selecting import Before, by_seed, curves_of, methods_of, settings_of
from amft_mm.compare.statistics import BySeed, Estimate, difference, mean_of

CLEAN = "clean"


@dataclass(frozen=True)
class Told:
    """Of a method under a condition, on the first split."""

    success: Estimate
    gained: Estimate | None
    """Since the warm-up, where that is known."""
    mu: float | None
    """At the end, where there is one."""


Conditions = dict[str, dict[str, Told]]
"""By method and condition, where it was run."""


def under_conditions(results: Sequence[Result], before: Before) -> Conditions:
    """Of an environment's runs."""
    found: Conditions = {}
    for env, condition in settings_of(results):
        here = _ended_well(results, condition)
        for method in methods_of(here):
            scores = by_seed(here, method)
            begun = {seed: w.first for (e, seed), w in before.items() if e == env}
            ends = [points[-1][1] for points in curves_of(here, method, "mu")]
            mu = float(np.mean(ends)) if ends else None
            told = Told(mean_of(scores), difference(scores, begun), mu)
            found.setdefault(method, {})[condition] = told
    return found


def conditions_table(results: Sequence[Result], found: Conditions) -> Table:
    rows = []
    for _, condition in settings_of(results):
        row = [condition]
        for method, of_method in found.items():
            told = of_method.get(condition)
            if told is None:
                row.append("as clean" if _heedless(results, method, condition) else "crashed")
            else:
                learnt = "" if told.mu is None else f", mu {told.mu:.2f}"
                row.append(told.success.as_share() + learnt)
        rows.append(row)
    return ["condition", *(f"{method}, %" for method in found)], rows


def differences_table(results: Sequence[Result], baseline: str) -> Table:
    """Of the other methods to the baseline, over the same seeds."""
    others = [method for method in methods_of(results) if method != baseline]
    rows = []
    for _, condition in settings_of(results):
        row, theirs = [condition], _scores(results, baseline, condition)
        for method in others:
            found = difference(_scores(results, method, condition), theirs)
            row.append(found.as_difference() if found else "")
        rows.append(row)
    return ["condition", *(f"{method} less {baseline}" for method in others)], rows


def _scores(results: Sequence[Result], method: str, condition: str) -> BySeed:
    heedless = _heedless(results, method, condition)
    return by_seed(_ended_well(results, CLEAN if heedless else condition), method)


def _ended_well(results: Sequence[Result], condition: str) -> list[Result]:
    return [r for r in results if r.condition == condition and r.state == "finished"]


def _heedless(results: Sequence[Result], method: str, condition: str) -> bool:
    return not any(r.method == method and r.condition == condition for r in results)
