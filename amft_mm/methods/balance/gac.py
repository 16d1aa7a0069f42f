"""gac (arXiv 2605.26184): the mix that comes nearest to the reward's gradient, by noise and disagreement.

g_R is right on average and noisy; g_S is less noisy and points elsewhere, by D. With s^2 the variance of
each, (1 - mu) g_R + mu g_S has the mean square error

    (1 - mu)^2 s_R^2 + mu^2 (s_S^2 + |D|^2)         which is least at

    mu = s_R^2 / (s_R^2 + s_S^2 + |D|^2)        |D|^2 = max(0, |g_S - g_R|^2 - s_R^2 - s_S^2)

since the difference that is seen holds the noise of both. Above and below the line means over about
1 / (1 - beta) updates, and mu is at most `highest`. Each s^2 is what two halves of the step's examples differ
by. A derivation of our own from the paper's abstract. Where exploration has no gradient mu stays as it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from amft_mm.methods.balance.base import Balance, Gradients, share


class GAC(Balance):
    measures_noise = True

    def __init__(
        self, steps: int, start: float = 0.5, beta: float = 0.9, highest: float = 0.9
    ) -> None:
        if not 0 <= beta < 1:
            raise ValueError(f"balance: beta={beta} must be from 0 up to, but not, 1")
        self._start, self._highest = share("start", start), share("highest", highest)
        self._beta = beta
        self._above = self._below = 0.0

    def mu(self, step: int) -> float:
        found = self._above / self._below if self._below > 0 else self._start
        return min(found, self._highest)

    def weigh(
        self, step: int, mu: float, gradients: Callable[[], Gradients]
    ) -> tuple[float, float]:
        seen = gradients()
        noise = seen.exploration_noise + seen.imitation_noise
        apart = seen.exploration_norm**2 + seen.imitation_norm**2 - 2 * seen.product
        below = max(apart, noise)
        if seen.exploration_norm * seen.imitation_norm > 0 and math.isfinite(below):
            self._above = self._beta * self._above + (1 - self._beta) * seen.exploration_noise
            self._below = self._beta * self._below + (1 - self._beta) * below
        return self.mu(step), 1.0

    def state_dict(self) -> dict[str, Any]:
        return {"above": self._above, "below": self._below}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._above, self._below = state["above"], state["below"]
