"""joined (LUFFY, arXiv 2504.14945): the last member of each group is the demonstration itself.

Its answers are given to the environment, which scores them as it scores any: a demonstration that is wrong
gets the reward of being wrong. What its tokens teach is the exploration loss's business.
"""

from __future__ import annotations

import numpy as np

from amft_mm.methods.guidance.base import Guidance


class Joined(Guidance):
    shown = True

    def shares(
        self, round_: int, size: int, done: float, won: float, rng: np.random.Generator
    ) -> list[float]:
        return [0.0] * (size - 1) + [1.0]
