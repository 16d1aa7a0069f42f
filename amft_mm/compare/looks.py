"""After how many seeds a comparison is looked at, and how sure each look has to be.

    fewest(3, {"amft": 5}, ["amft", "sft"])   -> 3, at the first look
    looks(3, 8)                               -> [3, 5, 8]
    level((3, 5, 8))                          -> 0.977, of each look's interval

Whoever looks several times and stops at the first difference finds one too often. Each look therefore asks
for more than 95 %: by as much as makes the chance that any look at two equals errs 5 % in all, the same at
each (S. J. Pocock, "Group sequential methods in the design and analysis of clinical trials", Biometrika 64,
1977), worked out for looks that have more and more seeds in common. The correction is for the looks, not for
the number of pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cache

import numpy as np
from scipy.stats import norm

PATHS = 200_000


def fewest(seeds: int, more: Mapping[str, int], methods: Iterable[str]) -> int:
    """Seeds that all of these methods have from the beginning, some of them more."""
    return min((max(seeds, more.get(method, 0)) for method in methods), default=seeds)


def looks(seeds: int, most: int) -> list[int]:
    """Each has half as many seeds more than the last."""
    found = [seeds]
    while found[-1] < most:
        found.append(min(most, math.ceil(1.5 * found[-1])))
    return found


@cache
def level(seen: tuple[int, ...]) -> float:
    """Of each look's interval, with looks after so many seeds; of the only one where none are told."""
    if len(seen) < 2:
        return 0.95
    steps = np.diff([0, *seen])
    walks = np.random.default_rng(0).standard_normal((PATHS, len(seen))) * np.sqrt(steps)
    largest = np.abs(walks.cumsum(1) / np.sqrt(seen)).max(1)
    return float(1 - 2 * norm.sf(np.quantile(largest, 0.95)))
