"""uft (UFT, arXiv 2505.16984): every member of a group begins with the same hint, which gets shorter.

    k ~ Binomial(pieces, p),  p = low + (high - low) / 2 (1 + cos(pi done / until)),  0 from `until` on

The group is given k / pieces of the demonstration; `done` is the share of the run's steps that are made. The
official code has 5 pieces, p from 0.95 to 0.05, and hints for 300 of 500 steps. Its pieces are whole
sentences; here they are shares of the tokens. What a hint's tokens teach is the exploration loss's business.
"""

from __future__ import annotations

import math

import numpy as np

from amft_mm.methods.guidance.base import Guidance
from envs.contract import share, whole_number


class UFT(Guidance):
    shown = True

    def __init__(
        self, low: float = 0.05, high: float = 0.95, until: float = 0.6, pieces: int = 5
    ) -> None:
        self._low, self._high = share("guidance.low", low), share("guidance.high", high)
        self._until = share("guidance.until", until)
        self._pieces = whole_number("guidance.pieces", pieces, 1, 1000)

    def shares(
        self, round_: int, size: int, done: float, won: float, rng: np.random.Generator
    ) -> list[float]:
        return [int(rng.binomial(self._pieces, self.chance(done))) / self._pieces] * size

    def chance(self, done: float) -> float:
        """Of each piece to be given."""
        if done >= self._until:
            return 0.0
        fallen = 0.5 * (1 + math.cos(math.pi * done / self._until))
        return self._low + (self._high - self._low) * fallen
