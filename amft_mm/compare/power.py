"""What a comparison can tell, said before it is made: the smallest difference that it resolves.

    seen = noise(results)                       how pairs of methods differed in pilot runs
    found = resolution(seen, seeds, episodes)   the difference that is told from a tie four times in five

Runs are simulated: two methods differ by a true difference, which seeds scatter by as much as pilot runs did
beyond the luck of their episodes, and disagree on as many task instances as those did, in part on the same
ones whatever the seed; the verdict is that of the report (`surely`), a bootstrap over seeds and over the
instances that all seeds meet (amft_mm/compare/statistics.py) that is no narrower than pairs scatter. The same
simulation with no difference at all tells how often that verdict is wrong. Where more seeds follow if they
are needed (`max_seeds=`), the first and the last look (amft_mm/compare/sequential.py) are simulated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise

import numpy as np
from scipy.stats import norm

from amft_mm.compare.grid import Plan
from amft_mm.compare.looks import level, looks
from amft_mm.compare.result import Result
from amft_mm.compare.selecting import Setting, by_seed, methods_of, settings_of
from amft_mm.compare.statistics import BySeed, Estimate, apart, difference, weights

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
    """Share of task instances that one of the two solves and the other does not; of several tries at each the
    mean square of how far apart they are."""
    pairs: int
    """Of runs that this was seen on."""
    shared: float = 0.0
    """Correlation of how two seeds differ on an instance: what of it more seeds do not take away."""

    def half_width(self, seeds: int, episodes: float, level: float) -> float:
        """Of the interval of a difference over seeds that all meet the same instances."""
        instances = self.disagreement * (self.shared + (1 - self.shared) / seeds) / episodes
        spread = math.sqrt(self.between_seeds**2 / seeds + instances)
        return float(norm.ppf((1 + level) / 2)) * spread


@dataclass(frozen=True)
class Resolution:
    seeds: int
    episodes: int
    smallest: float | None
    """None: more than the largest that was tried."""
    false: float
    """Share of comparisons of equals that would be called a difference."""

    def finds(self, difference: float) -> bool:
        return self.smallest is not None and self.smallest <= difference

    def as_text(self) -> str:
        told = (
            f"more than {100 * TRIED[-1]:.0f}"
            if self.smallest is None
            else f"{100 * self.smallest:.1f}"
        )
        return (
            f"{_counted(self.seeds, self.episodes)}: {told} points in {POWER:.0%} of comparisons; "
            f"equals are called different in {self.false:.0%}"
        )


def _counted(seeds: int, episodes: int) -> str:
    return f"{seeds} seed{'s' if seeds > 1 else ''} x {episodes} episodes"


def noise(results: Iterable[Result]) -> Noise | None:
    """Of greedy success on the first split, from all pairs of methods that share two seeds or more, whose
    instances are known; None without any."""
    finished = [r for r in results if r.state == "finished"]
    settings = []
    for setting in settings_of(finished):
        own = [r for r in finished if (r.env, r.condition) == setting]
        settings.append({method: by_seed(own, method) for method in methods_of(own)})
    return noise_of(*settings)


def noise_of(*settings: Mapping[str, BySeed]) -> Noise | None:
    """The same of what each method of a setting came to."""
    spreads, shares, together, alone, pairs = [], [], [], [], 0
    for scores in settings:
        for mine, theirs in combinations(scores.values(), 2):
            both = [apart(mine[s], theirs[s]) for s in sorted(mine.keys() & theirs.keys())]
            both = [each for each in both if len(each)]
            if len(both) < 2:
                continue
            whole = float(np.mean([np.nanvar(each) for each in both]))
            same = _covariance(both)
            # May be below 0: not cut off, the mean over pairs is hardly biased.
            luck = (whole - same) / float(np.mean([np.isfinite(each).sum() for each in both]))
            spreads.append(np.var([np.nanmean(each) for each in both], ddof=1) - luck)
            shares.append(np.mean([np.nanmean(each**2) for each in both]))
            together.append(same)
            alone.append(whole)
            pairs += len(both)
    if not pairs:
        return None
    scatter, shared = np.sqrt(max(0.0, np.mean(spreads))), 0.0
    if any(alone):
        shared = float(np.clip(np.sum(together) / np.sum(alone), 0, 1))
    return Noise(float(scatter), float(np.mean(shares)), pairs, shared)


def surely(
    mine: BySeed, theirs: BySeed, scatter: Noise | None, level: float = 0.95
) -> Estimate | None:
    """A difference whose interval is at least as wide as pairs scatter where that is known: a few seeds say
    little about it, and where they agree by luck they would tell equals apart."""
    found = difference(mine, theirs, level=level)
    if found is None or scatter is None:
        return found
    both = mine.keys() & theirs.keys()
    episodes = float(np.mean([mine[seed].episodes for seed in both]))
    return found.at_least(scatter.half_width(len(both), episodes, level))


def _covariance(by_seed: Sequence[np.ndarray]) -> float:
    """Of two seeds, over the instances of both: 0 where these are not known to be the same."""
    found = []
    for one, other in combinations(by_seed, 2):
        if len(one) == len(other) and (known := np.isfinite(one + other)).any():
            found.append(float(np.cov(one[known], other[known], ddof=0)[0, 1]))
    return float(np.mean(found)) if found else 0.0


@cache
def resolution(
    seen: Noise, seeds: int, episodes: int, seen_after: tuple[int, ...] = (), seed: int = 0
) -> Resolution:
    """`seen_after` are the looks of which this is one, where there are several."""
    found = [_told(seen, difference, seeds, episodes, seen_after, seed) for difference in TRIED]
    smallest = None
    for (below, low), (above, high) in pairwise(zip(TRIED, found, strict=True)):
        if high >= POWER > low:
            smallest = below + (above - below) * (POWER - low) / (high - low)
            break
    return Resolution(seeds, episodes, smallest, found[0])


def _told(
    seen: Noise,
    difference: float,
    seeds: int,
    episodes: int,
    seen_after: tuple[int, ...],
    seed: int,
) -> float:
    """The share of simulated comparisons whose interval does not hold 0."""
    rng = np.random.default_rng(seed)
    each = _fared(seen, difference, (SIMULATIONS, seeds, episodes), rng)
    by_seed = each @ weights(episodes, DRAWS, rng).T
    means = (by_seed * weights(seeds, DRAWS, rng).T).sum(1)
    sure = level(seen_after)
    low, high = np.quantile(means, [(1 - sure) / 2, (1 + sure) / 2], axis=1)
    found, half = each.mean((1, 2)), seen.half_width(seeds, episodes, sure)
    low, high = np.minimum(low, found - half), np.maximum(high, found + half)
    return float(np.mean((low > 0) | (high < 0)))


def _fared(
    seen: Noise, difference: float, shape: tuple[int, int, int], rng: np.random.Generator
) -> np.ndarray:
    """By comparison, seed and instance: 1 is won, -1 lost, 0 neither. What decides is drawn for each seed, or
    for all seeds at once: that as often as makes two seeds as alike as they were seen to be."""
    comparisons, seeds, episodes = shape
    true = np.clip(rng.normal(difference, seen.between_seeds, (comparisons, seeds, 1)), -1, 1)
    either = np.clip(seen.disagreement, np.abs(true), 1)
    common = rng.random(shape) < math.sqrt(seen.shared)
    luck = np.where(common, rng.random((comparisons, 1, episodes)), rng.random(shape))
    return (luck < (either + true) / 2) * 1.0 - (luck > 1 - (either - true) / 2)


def plans_of(results: Iterable[Result], seen: Sequence[int]) -> dict[Setting, Plan]:
    """As if these runs were planned, and looked at after so many seeds; where that is once, with the seeds
    that every method has."""
    finished = [r for r in results if r.state == "finished"]
    plans = {}
    for setting in settings_of(finished):
        own = [r for r in finished if (r.env, r.condition) == setting]
        fewest = min(len(by_seed(own, method)) for method in methods_of(own))
        first, *_, last = [fewest, fewest] if len(seen) == 1 else seen
        plans[setting] = Plan(first, max(r.first.episodes for r in own), last)
    return plans


def words(results: Sequence[Result], planned: Mapping[Setting, Plan], worth: float) -> list[str]:
    """A line for each environment and condition that is planned."""
    return [_line(results, setting, plan, worth) for setting, plan in planned.items()]


def _line(results: Sequence[Result], setting: Setting, plan: Plan, worth: float) -> str:
    """Told by runs under the same condition, else by any of that environment."""
    env, condition = setting
    own = [r for r in results if r.env == env]
    seen = noise(r for r in own if r.condition == condition) or noise(own)
    title = f"{env}, {condition}"
    if seen is None:
        return (
            f"{title}: what {_counted(plan.seeds, plan.episodes)} resolve is not known, for want of "
            "pilot runs: two methods with the same two seeds, here or in another folder (pilot=FOLDER)"
        )
    # The first of several looks asks for as much as the last, and so does the report.
    seen_after = tuple(looks(plan.seeds, plan.most)) if plan.most > plan.seeds else ()
    found = last = resolution(seen, plan.seeds, plan.episodes, seen_after)
    told = found.as_text()
    if seen_after:
        last = resolution(seen, plan.most, plan.episodes, seen_after)
        told += f". Where these do not tell, the last look, each at {level(seen_after):.1%}: {last.as_text()}"
    aim = f"{100 * worth:.0f} points"
    if not last.finds(worth):
        even = "" if last is found else f", not by {plan.most} seeds either"
        told += f". It CANNOT RESOLVE {aim}{even}: ask for more seeds (seeds=, max_seeds=)"
    elif not found.finds(worth):
        told += f". {aim} are resolved by {plan.most} seeds, not by {plan.seeds}"
    return (
        f"{title}: {told} (seeds scatter by {100 * seen.between_seeds:.1f} points, methods disagree on "
        f"{seen.disagreement:.0%} of the instances, {seen.shared:.0%} of that whatever the seed; "
        f"{seen.pairs} pairs of pilot runs)"
    )
