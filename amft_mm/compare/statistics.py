"""What a few runs say, and how surely.

Intervals are 95 % bootstrap intervals over seeds, where each draw also draws the episodes that a run was
evaluated on: with three seeds the seeds alone would make them too narrow. A difference whose interval
holds 0 is a tie. Where it is known how each task instance fared, a difference is drawn over instances: what
is hard for one method is hard for the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from amft_mm.compare.result import Points, Score

DRAWS = 4000
BySeed = Mapping[int, Score]


@dataclass(frozen=True)
class Estimate:
    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Of a difference."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "tie"

    def at_least(self, half: float) -> Estimate:
        """So far to both sides."""
        low, high = min(self.low, self.mean - half), max(self.high, self.mean + half)
        return Estimate(self.mean, low, high)

    def as_share(self) -> str:
        return f"{100 * self.mean:.1f} ({100 * self.low:.0f} to {100 * self.high:.0f})"

    def as_points(self) -> str:
        return f"{100 * self.mean:+.1f} ({100 * self.low:+.0f} to {100 * self.high:+.0f})"

    def as_difference(self) -> str:
        return f"{self.as_points()}, {self.verdict}"


def mean_of(scores: BySeed, seed: int = 0) -> Estimate:
    mean = np.mean([s.success for s in scores.values()])
    each = [_known(np.array(scores[s].each, float)) for s in sorted(scores)]
    if all(len(instances) for instances in each):
        return _estimate([_draws_of_instances(each, seed)], mean)
    return _estimate([_draws(scores, seed)], mean)


def mean_difference(mine: BySeed, theirs: BySeed) -> float | None:
    """Over the seeds that both have, without how surely, which takes a thousand times as long."""
    both = sorted(mine.keys() & theirs.keys())
    return float(np.mean([_difference(mine[s], theirs[s]) for s in both])) if both else None


def _difference(one: Score, other: Score) -> float:
    """Of the task instances that both were played on to the end, where these are known."""
    each = apart(one, other)
    return float(np.nanmean(each)) if len(each) else one.success - other.success


def difference(mine: BySeed, theirs: BySeed, seed: int = 0, level: float = 0.95) -> Estimate | None:
    """Over the seeds that both have; None where there are none."""
    both = sorted(mine.keys() & theirs.keys())
    if not both:
        return None
    one, other = ({s: which[s] for s in both} for which in (mine, theirs))
    mean = np.mean([_difference(one[s], other[s]) for s in both])
    each = [apart(one[s], other[s]) for s in both]
    if all(len(instances) for instances in each):
        return _estimate([_draws_of_instances(each, seed)], mean, level)
    # The same seeds are drawn for both, and other episodes: the latter is wide rather than narrow.
    return _estimate([_draws(one, seed), -_draws(other, seed, episodes=seed + 1)], mean, level)


def improves(mine: BySeed, theirs: BySeed) -> float | None:
    """The share of the seeds that both have in which one is better; ties count half."""
    pairs = [(mine[s].success, theirs[s].success) for s in mine.keys() & theirs.keys()]
    return float(np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs])) if pairs else None


def mean_ranks(scores: Mapping[str, BySeed]) -> dict[str, float]:
    """1 is best; over the seeds that all have."""
    names = list(scores)
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in scores.values())))
    if not seeds:
        return {}
    table = [[-scores[name][seed].success for name in names] for seed in seeds]
    ranks = np.mean([rankdata(row) for row in table], axis=0)
    return dict(zip(names, ranks.tolist(), strict=True))


def area(points: Points) -> float:
    """Under a curve, as the mean height over its steps."""
    steps, values = (np.array(column, float) for column in zip(*points, strict=True))
    if steps[-1] == steps[0]:
        return float(values[-1])
    return float(np.trapezoid(values, steps) / (steps[-1] - steps[0]))


def area_to(success: Points, spent: Points, budget: float) -> float | None:
    """Mean success while `budget` was spent, of tokens or seconds; who had ended before keeps what it came
    to. None where it is not known what had been spent when."""
    known = dict(spent)
    if not known or budget <= 0:
        return None
    begun = min(known)
    at = [known.get(step, 0.0 if step < begun else math.nan) for step, _ in success]
    if any(map(math.isnan, at)):
        return None
    heights = [value for _, value in success]
    whole = np.trapezoid([heights[0], *heights, heights[-1]], [0.0, *at, budget])
    return float(whole / budget)


def flattened(points: Points) -> bool:
    """Whether the last quarter of a curve gained less than 2 points of success."""
    steps, values = (np.array(column, float) for column in zip(*points, strict=True))
    quarter = steps[-1] - (steps[-1] - steps[0]) / 4
    return bool(values[-1] - np.interp(quarter, steps, values) < 0.02)


def _draws(scores: BySeed, seed: int, episodes: int | None = None) -> np.ndarray:
    """Means of `DRAWS` draws of seeds, and of episodes within each."""
    ordered = [scores[s] for s in sorted(scores)]
    shares = np.array([s.success for s in ordered])
    counts = np.array([s.episodes for s in ordered])
    which = np.random.default_rng(seed).integers(len(ordered), size=(DRAWS, len(ordered)))
    rng = np.random.default_rng([seed if episodes is None else episodes, 1])
    drawn = rng.binomial(counts[which], shares[which]) / counts[which]
    return drawn.mean(1)


def apart(one: Score, other: Score) -> np.ndarray:
    """By how much each task instance fared better, NaN where one of the two failed; none where they are not
    known to be the same."""
    if len(one.each) != len(other.each):
        return np.array([])
    return _known(np.array(one.each, float) - np.array(other.each, float))


def _known(each: np.ndarray) -> np.ndarray:
    """None of them where nothing is known of any."""
    return each[:0] if np.isnan(each).all() else each


def _draws_of_instances(by_seed: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Means of `DRAWS` draws of seeds, and of instances. All seeds meet the same instances, so that a draw
    has the same ones for all."""
    rng = np.random.default_rng([seed, 2])
    often = {count: weights(count, DRAWS, rng) for count in dict.fromkeys(map(len, by_seed))}
    means = np.stack([_means(each, often[len(each)]) for each in by_seed], axis=1)
    return np.asarray((weights(len(by_seed), DRAWS, rng) * means).sum(1))


def _means(each: np.ndarray, often: np.ndarray) -> np.ndarray:
    """Of what is known in each draw; of all that is known where a draw has none of it."""
    known = ~np.isnan(each)
    drawn = often[:, known]
    whole = drawn.sum(1)
    usual = np.full(len(often), each[known].mean())
    return np.divide(drawn @ each[known], whole, out=usual, where=whole > 0)


def weights(count: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How much each of so many weighs in a mean over as many that are drawn of them; a row a draw."""
    drawn = rng.integers(count, size=(draws, count)) + count * np.arange(draws)[:, None]
    often = np.bincount(drawn.ravel(), minlength=draws * count)
    return often.reshape(draws, count) / count


def _estimate(parts: Sequence[np.ndarray], mean: np.floating, level: float = 0.95) -> Estimate:
    low, high = np.quantile(np.sum(parts, axis=0), [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(mean), float(low), float(high))
