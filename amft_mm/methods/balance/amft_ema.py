"""amft_ema: the controller that `amft` replaced, to be compared with it.

    s = d U / d mu, free of scales
    e <- EMA of s, v <- EMA of (s - e)^2            over about 1 / (1 - beta) looks
    logit(mu) <- logit(mu) + rate e / sqrt(e^2 + v)     where |e| > doubt sqrt(v / n)

with n the number of looks that the averages amount to: mu moves by how sure the looks are of a
direction, by `rate` at most, and holds while they contradict each other or are fewer than `patience`.
It judges looks by how they differ over time, and on looks that are noise it walks: docs/controller.md.
"""

from __future__ import annotations

import math
from typing import Any

from amft_mm.methods.balance.base import Learnt, Signal


class AMFTEma(Learnt):
    def __init__(
        self,
        steps: int,
        start: float = 0.5,
        rate: float = 0.15,
        beta: float = 0.8,
        doubt: float = 1.0,
        patience: int = 3,
        lowest: float = 0.02,
        highest: float = 0.98,
    ) -> None:
        if not 0 <= beta < 1:
            raise ValueError(f"balance: beta={beta} must be from 0 up to, but not, 1")
        if not (rate > 0 and doubt >= 0):
            raise ValueError(f"balance: rate={rate} must be above 0, and doubt={doubt} 0 or above")
        super().__init__(start, lowest, highest)
        self._rate, self._beta, self._doubt, self._patience = rate, beta, doubt, patience
        self._mean = self._square = self._weight = 0.0
        self._looks = 0

    def update(self, signal: Signal) -> dict[str, float]:
        look = signal.scaled
        if look is None:
            return {}
        keep = self._beta
        self._looks += 1
        self._mean = keep * self._mean + (1 - keep) * look
        self._square = keep * self._square + (1 - keep) * look**2
        self._weight = keep * self._weight + (1 - keep)
        mean, square = self._mean / self._weight, self._square / self._weight
        spread = math.sqrt(max(square - mean**2, 0.0))
        looks = self._weight * (1 + keep) / (1 - keep)  # that the averages amount to
        error = spread / math.sqrt(looks)
        moved = 0.0
        if self._looks >= self._patience and abs(mean) > self._doubt * error:
            moved = self.move(self._rate * mean / math.sqrt(square))
        return {
            "meta/look": look,
            "meta/evidence": mean / error if error > 0 else 0.0,
            "meta/moved": moved,
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "mean": self._mean,
            "square": self._square,
            "weight": self._weight,
            "looks": self._looks,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._mean, self._square = state["mean"], state["square"]
        self._weight, self._looks = state["weight"], state["looks"]
