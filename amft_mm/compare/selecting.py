"""Parts of a comparison's results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from amft_mm.compare.result import Points, Result, Score
from amft_mm.compare.statistics import BySeed

Before = Mapping[tuple[str, int], Result]
"""The warm-ups, by environment and seed."""


def settings_of(results: Iterable[Result]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((r.env, r.condition) for r in results))


def methods_of(results: Iterable[Result]) -> list[str]:
    return list(dict.fromkeys(r.method for r in results))


def by_seed(results: Sequence[Result], method: str, split: str | None = None) -> BySeed:
    """On a split; on the first where none is named."""
    own = [r for r in results if r.method == method]
    return {r.seed: r.first if split is None else r.scores[split] for r in own}


def curves_of(results: Sequence[Result], method: str, key: str) -> list[Points]:
    return [r.curves[key] for r in results if r.method == method and key in r.curves]


def sampled(results: Sequence[Result], method: str) -> BySeed:
    """Success of what training played in the last quarter of its steps, where it played at all: sampled
    rather than greedy, step by step, on the same task instances for all methods."""
    found = {}
    for result in results:
        points = result.curves.get("rollout") if result.method == method else None
        if points:
            end, steps = points[-1][0], result.totals["optimizer steps"]
            last = [value for step, value in points if step > end - steps / 4]
            found[result.seed] = Score(sum(last) / len(last), len(last), list(last))
    return found
