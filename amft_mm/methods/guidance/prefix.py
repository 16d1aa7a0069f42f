"""prefix (prefix_rft, arXiv 2507.01679): the last member of each group begins as the demonstration does.

It is given floor(l |y*|) of its tokens, l drawn evenly from [low, high]; over the run low falls along a
cosine from `high` to `low`.
"""

from __future__ import annotations

import math

import numpy as np

from amft_mm.methods.guidance.base import Guidance
from envs.contract import share


class Prefix(Guidance):
    shown = True

    def __init__(self, low: float = 0.05, high: float = 0.95) -> None:
        self._low, self._high = share("guidance.low", low), share("guidance.high", high)
        if low > high:
            raise ValueError(f"guidance: low={low} must not be above high={high}")

    def shares(
        self, round_: int, size: int, done: float, won: float, rng: np.random.Generator
    ) -> list[float]:
        low = self._low + (self._high - self._low) * 0.5 * (1 + math.cos(math.pi * done))
        return [0.0] * (size - 1) + [float(rng.uniform(low, self._high))]
