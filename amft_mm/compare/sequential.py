"""More seeds where two methods are not told apart, none where they are.

    looks(3, 8)                           -> [3, 5, 8]   after how many seeds one looks
    wanting(pairs_of(results, ...))       -> who is to have the next seeds

Whoever looks several times and stops at the first difference finds one too often. Each look therefore asks
for more than 95 %: by as much as makes the chance that any look at two equals errs 5 % in all, the same at
each (S. J. Pocock, "Group sequential methods in the design and analysis of clinical trials", Biometrika 64,
1977), worked out for looks that have more and more seeds in common. Three seeds say little about how much
seeds scatter, and where they agree by luck they would end the search: an interval is at least as wide as the
scatter that all pairs of the environment show together. A pair is decided where its interval leaves 0 out, or
where it lies within what is worth knowing. The correction is for the looks, not for the number of pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.stats import norm

from amft_mm.compare.parts import Table
from amft_mm.compare.power import Noise, noise
from amft_mm.compare.result import Result
from amft_mm.compare.selecting import by_seed, methods_of, settings_of
from amft_mm.compare.statistics import Estimate, difference

PATHS = 200_000


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


def looks(seeds: int, most: int) -> list[int]:
    """Each has half as many seeds more than the last."""
    found = [seeds]
    while found[-1] < most:
        found.append(min(most, math.ceil(1.5 * found[-1])))
    return found


@cache
def level(seen: tuple[int, ...]) -> float:
    """Of each look's interval, when there are looks after so many seeds."""
    if len(seen) == 1:
        return 0.95
    steps = np.diff([0, *seen])
    walks = np.random.default_rng(0).standard_normal((PATHS, len(seen))) * np.sqrt(steps)
    largest = np.abs(walks.cumsum(1) / np.sqrt(seen)).max(1)
    return float(1 - 2 * norm.sf(np.quantile(largest, 0.95)))


def pairs_of(
    results: Iterable[Result], baselines: Sequence[str], seen: Sequence[int], worth: float
) -> list[Pair]:
    """Of every method and every baseline that share seeds, as their last look has them."""
    finished = [r for r in results if r.state == "finished"]
    found, share = [], level(tuple(seen))
    for env, condition in settings_of(finished):
        own = [r for r in finished if (r.env, r.condition) == (env, condition)]
        scatter = noise(own)
        for baseline in (b for b in baselines if b in methods_of(own)):
            theirs = by_seed(own, baseline)
            for method in (m for m in methods_of(own) if m != baseline):
                mine = by_seed(own, method)
                apart = difference(mine, theirs, level=share)
                if apart is not None:
                    both = sorted(mine.keys() & theirs.keys())
                    if scatter is not None:
                        episodes = sum(mine[seed].episodes for seed in both)
                        apart = _widened(apart, scatter, len(both), episodes, share)
                    found.append(Pair(env, condition, method, baseline, len(both), apart, worth))
    return found


def _widened(apart: Estimate, scatter: Noise, seeds: int, episodes: int, share: float) -> Estimate:
    variance = scatter.between_seeds**2 / seeds + scatter.disagreement / episodes
    half = norm.ppf((1 + share) / 2) * math.sqrt(variance)
    low, high = min(apart.low, apart.mean - half), max(apart.high, apart.mean + half)
    return Estimate(apart.mean, float(low), float(high))


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
