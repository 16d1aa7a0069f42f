"""What a comparison can tell, said before it is made: the smallest difference that it resolves.

    seen = noise(results)                       how pairs of methods differed in pilot runs
    found = resolution(seen, seeds, episodes)   the difference that is told from a tie four times in five

Runs are simulated: two methods differ by a true difference, which seeds scatter by as much as pilot runs did
beyond the luck of their episodes, and disagree on as many task instances as those did; the verdict is that of
the report (amft_mm/compare/statistics.py), a bootstrap over seeds and instances. The same simulation with no
difference at all tells how often that verdict is wrong: with few seeds more often than one time in twenty.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise

import numpy as np

from amft_mm.compare.result import Result
from amft_mm.compare.selecting import by_seed, methods_of, settings_of
from amft_mm.compare.statistics import apart

POWER = 0.8
"""Of the comparisons that find a difference, where it is said to be resolved."""
SIMULATIONS = 300
DRAWS = 200
TRIED = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Noise:
    """Of the difference of two methods, as a share of success."""

    between_seeds: float
    """Standard deviation of the true difference from seed to seed."""
    disagreement: float
    """Share of task instances that one of the two solves and the other does not."""
    pairs: int
    """Of runs that this was seen on."""


@dataclass(frozen=True)
class Resolution:
    seeds: int
    episodes: int
    smallest: float | None
    """None: more than the largest that was tried."""
    false: float
    """Share of comparisons of equals that would be called a difference."""

    def as_text(self) -> str:
        told = (
            f"more than {100 * TRIED[-1]:.0f}"
            if self.smallest is None
            else f"{100 * self.smallest:.1f}"
        )
        return (
            f"{self.seeds} seeds x {self.episodes} episodes: {told} points in {POWER:.0%} of comparisons; "
            f"equals are called different in {self.false:.0%}"
        )


def noise(results: Iterable[Result]) -> Noise | None:
    """From all pairs of methods that share two seeds or more, whose instances are known; None without any."""
    finished = [r for r in results if r.state == "finished"]
    spreads, shares, pairs = [], [], 0
    for setting in settings_of(finished):
        own = [r for r in finished if (r.env, r.condition) == setting]
        for one, other in combinations(methods_of(own), 2):
            mine, theirs = by_seed(own, one), by_seed(own, other)
            both = [apart(mine[s], theirs[s]) for s in sorted(mine.keys() & theirs.keys())]
            both = [each for each in both if len(each)]
            if len(both) < 2:
                continue
            means = np.array([each.mean() for each in both])
            within = np.mean([each.var() / len(each) for each in both])
            # May be below 0: not cut off, the mean over pairs is hardly biased. Where seeds agree on which
            # instances are hard it is a little too small.
            spreads.append(means.var(ddof=1) - within)
            shares.append(np.mean([np.abs(each).mean() for each in both]))
            pairs += len(both)
    if not pairs:
        return None
    return Noise(float(np.sqrt(max(0.0, np.mean(spreads)))), float(np.mean(shares)), pairs)


@cache
def resolution(seen: Noise, seeds: int, episodes: int, seed: int = 0) -> Resolution:
    rng = np.random.default_rng(seed)
    found = [_told(seen, difference, seeds, episodes, rng) for difference in TRIED]
    smallest = None
    for (below, low), (above, high) in pairwise(zip(TRIED, found, strict=True)):
        if high >= POWER > low:
            smallest = below + (above - below) * (POWER - low) / (high - low)
            break
    return Resolution(seeds, episodes, smallest, found[0])


def _told(
    seen: Noise, difference: float, seeds: int, episodes: int, rng: np.random.Generator
) -> float:
    """The share of simulated comparisons whose interval does not hold 0. An instance is won, lost or neither,
    so that drawing instances anew is drawing three counts."""
    true = np.clip(rng.normal(difference, seen.between_seeds, (SIMULATIONS, seeds)), -1, 1)
    either = np.clip(seen.disagreement, np.abs(true), 1)
    chances = np.stack([(either + true) / 2, (either - true) / 2, 1 - either], axis=2)
    shares = rng.multinomial(episodes, chances) / episodes
    drawn = rng.multinomial(episodes, np.repeat(shares[:, None], DRAWS, axis=1))
    each = (drawn[..., 0] - drawn[..., 1]) / episodes
    which = rng.integers(seeds, size=each.shape)
    means = np.take_along_axis(each, which, axis=2).mean(2)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    return float(np.mean((low > 0) | (high < 0)))


def words(
    results: Sequence[Result], planned: dict[tuple[str, str], tuple[int, int]], worth: float
) -> list[str]:
    """A line for each environment and condition that is planned, with its number of seeds and episodes."""
    return [_line(results, *setting, *numbers, worth) for setting, numbers in planned.items()]


def _line(
    results: Sequence[Result], env: str, condition: str, seeds: int, episodes: int, worth: float
) -> str:
    """Told by runs under the same condition, else by any of that environment."""
    own = [r for r in results if r.env == env]
    seen = noise(r for r in own if r.condition == condition) or noise(own)
    title = f"{env}, {condition}"
    if seen is None:
        return (
            f"{title}: what {seeds} seeds x {episodes} episodes resolve is not known, for want of pilot "
            "runs: two methods with the same two seeds, here or in another folder (pilot=FOLDER)"
        )
    found = resolution(seen, seeds, episodes)
    verdict = ""
    if found.smallest is None or found.smallest > worth:
        verdict = (
            f". It CANNOT RESOLVE {100 * worth:.0f} points: ask for more seeds (seeds=, max_seeds=)"
        )
    return (
        f"{title}, {found.as_text()}{verdict} (seeds scatter by {100 * seen.between_seeds:.1f} points, "
        f"methods disagree on {seen.disagreement:.0%} of the instances; {seen.pairs} pairs of pilot runs)"
    )
