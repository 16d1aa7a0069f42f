"""micro_groups (TRAPO, arXiv 2512.17636): a group is played in rounds, and helped where it fails.

Of eight members four are given nothing, then two a quarter, one half and one all of the demonstration; a
round is given its share only while fewer than 2 of 4, 4 of 6, 7 of 7 episodes have succeeded so far, the
helped ones included. A beginning that several members of a round share is learnt from once, by the last of
them. Other sizes of a group are divided in proportion.

So in the official code; it cuts at the next end of a paragraph, here the share is one of tokens.
"""

from __future__ import annotations

import numpy as np

from amft_mm.methods.guidance.base import Guidance

GIVEN = (0.0, 0.25, 0.5, 1.0)
BELOW = (0.0, 2 / 4, 4 / 6, 7 / 7)


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

    def learnt(self, round_: int, size: int) -> list[bool]:
        return [False] * (size - 1) + [True]
