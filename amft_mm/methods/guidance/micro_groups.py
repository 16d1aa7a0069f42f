"""micro_groups (TRAPO, arXiv 2512.17636): a group is played in rounds, and helped where it fails.

Of eight members four are given nothing, then two a fifth, one half and one all of the demonstration;
a round is given its share only while the group's success so far is below .5, .7, .9. Other sizes
of a group are divided in proportion. The published thresholds are of returns from -1 to 1 in its own
reward; success, from 0 to 1, is what every world here has.
"""

from __future__ import annotations

import numpy as np

from amft_mm.methods.guidance.base import Guidance

GIVEN = (0.0, 0.2, 0.5, 1.0)
BELOW = (0.0, 0.5, 0.7, 0.9)


class MicroGroups(Guidance):
    shown = True

    def rounds(self, group: int) -> list[int]:
        if group < 4:
            raise ValueError(f"micro_groups: train.group={group} must be at least 4")
        second, third, fourth = max(1, group // 4), max(1, group // 8), max(1, group // 8)
        return [group - second - third - fourth, second, third, fourth]

    def shares(
        self, round_: int, size: int, done: float, won: float, rng: np.random.Generator
    ) -> list[float]:
        return [GIVEN[round_] if won < BELOW[round_] else 0.0] * size
