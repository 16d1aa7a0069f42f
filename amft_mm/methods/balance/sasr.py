"""sasr (arXiv 2505.13026): each step imitates or explores, by chance.

    P(imitate) = |g_S| / (|g_S| + gamma |g_S at the end of the warm-up|)

so that imitation fades as its gradient does. From memory of the paper; here both gradients are taken at
every step, so that a run costs what the others cost, and the first above 0 stands for the warm-up's end.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from amft_mm.methods.balance.base import Gradients, Meeting
from envs.contract import whole_number


class SASR(Meeting):
    def __init__(self, steps: int, gamma: float = 1.0, seed: int = 0) -> None:
        if not gamma > 0:
            raise ValueError(f"balance: gamma={gamma} must be above 0")
        self._gamma, self._seed = gamma, whole_number("balance.seed", seed, 0, 2**30 - 1)
        self._first: float | None = None

    def weights(self, step: int, gradients: Gradients) -> tuple[float, float]:
        now = gradients.imitation_norm
        if not self._first and 0 < now < math.inf:
            self._first = now
        both = now + self._gamma * (self._first or now)
        imitates = np.random.default_rng([self._seed, step]).random() < (
            now / both if both else 0.5
        )
        return (0.0, 1.0) if imitates else (1.0, 0.0)

    def state_dict(self) -> dict[str, Any]:
        return {"first": self._first}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._first = state["first"]
