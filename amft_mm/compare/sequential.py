"""More seeds where two methods are not told apart, none where they are.

    wanting(pairs_of(results, ...))       -> who is to have the next seeds

Each look (amft_mm/compare/looks.py) asks for more than 95 %. A pair is decided where its interval leaves 0
out, or where it lies within what is worth knowing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from amft_mm.compare.looks import level
from amft_mm.compare.parts import Table
from amft_mm.compare.power import noise, surely
from amft_mm.compare.result import Result
from amft_mm.compare.selecting import by_seed, methods_of, on_shared_splits, settings_of
from amft_mm.compare.statistics import Estimate


@dataclass(frozen=True)
class Pair:
    env: str
    condition: str
    method: str
    baseline: str
    seeds: int
    apart: Estimate
    worth: float

    @property
    def state(self) -> str:
        if self.apart.verdict != "tie":
            return self.apart.verdict
        within = -self.worth < self.apart.low and self.apart.high < self.worth
        return f"within {100 * self.worth:g} points" if within else "open"


def pairs_of(
    results: Iterable[Result], baselines: Sequence[str], seen: Sequence[int], worth: float
) -> list[Pair]:
    """Of every method and every baseline that share seeds, as their last look has them, on the first of the
    splits that all runs of a setting have, as in the tables."""
    finished, _ = on_shared_splits([r for r in results if r.state == "finished"])
    found, share = [], level(tuple(seen))
    for env, condition in settings_of(finished):
        own = [r for r in finished if (r.env, r.condition) == (env, condition)]
        scatter = noise(own)
        for baseline in (b for b in baselines if b in methods_of(own)):
            theirs = by_seed(own, baseline)
            for method in (m for m in methods_of(own) if m != baseline):
                mine = by_seed(own, method)
                apart = surely(mine, theirs, scatter, share)
                if apart is not None:
                    seeds = len(mine.keys() & theirs.keys())
                    found.append(Pair(env, condition, method, baseline, seeds, apart, worth))
    return found


def wanting(pairs: Iterable[Pair]) -> set[tuple[str, str, str]]:
    """Environment, condition and method of those that are to have more seeds."""
    return {
        (pair.env, pair.condition, method)
        for pair in pairs
        if pair.state == "open"
        for method in (pair.method, pair.baseline)
    }


def decisions(pairs: Sequence[Pair]) -> Table:
    heads = ["environment", "condition", "pair", "seeds", "difference", "verdict"]
    rows = [
        [
            pair.env,
            pair.condition,
            f"{pair.method} over {pair.baseline}",
            str(pair.seeds),
            pair.apart.as_points(),
            pair.state,
        ]
        for pair in pairs
    ]
    return heads, rows
