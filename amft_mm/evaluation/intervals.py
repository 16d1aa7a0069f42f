"""Intervals of shares and means: how far a figure may be from what more episodes would say."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Z95 = 1.959963984540054


def wilson(successes: float, count: float, z: float = Z95) -> tuple[float, float]:
    """The Wilson score interval of a share; everything is possible where nothing was counted."""
    if count == 0:
        return 0.0, 1.0
    share, square = successes / count, z * z
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = z / (1 + square / count)
    half *= math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def wilson_of_tries(share: float, each: Sequence[float], count: int) -> tuple[float, float]:
    """The same of a share of `count` tries, of which `each` task instance had that share by itself. Tries of
    an instance are alike, and count for as many independent ones as instances scatter for (Kish's design
    effect): from one an instance to all. Where none failed, or all did, that is not known, and the fewest are
    taken."""
    if not each:
        return wilson(0, 0)
    scatter = float(np.var(each, ddof=1)) / len(each) if len(each) > 1 else 0.0
    independent = share * (1 - share) / scatter if scatter > 0 else float(len(each))
    independent = min(max(independent, len(each)), count)
    return wilson(share * independent, independent)


def pass_at(k: int, count: int, successes: int) -> float:
    """The chance that one of k tries is a success, unbiased, from `count` tries."""
    if not 1 <= k <= count:
        raise ValueError(f"pass@{k} cannot be told from {count} tries")
    if count - successes < k:
        return 1.0
    return 1.0 - math.comb(count - successes, k) / math.comb(count, k)
