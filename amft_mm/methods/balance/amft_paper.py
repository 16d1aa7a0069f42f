"""amft_paper: AMFT's rule for mu as published, with the sign that climbs the utility.

    mu <- clip(mu + eta_mu dU/dmu + eta_h (H* - H), lowest, highest)      every `every` steps

`every` is 20 as published; where nothing is said, runs of fewer than 200 steps move mu ten times in all:
else it would stay where it began, and the method would be a mix that is held. dU/dmu is the method's, where
the published code has another (docs/how_amft_works.md). H* is the mean token entropy when the warm-up has
ended. The published text and formula disagree on the entropy term's sign: `entropy_sign=1` is the formula's.
"""

from __future__ import annotations

from typing import Any

from amft_mm.methods.balance.base import Balance, Signal, share


class AMFTPaper(Balance):
    learns = True

    def __init__(
        self,
        steps: int,
        start: float = 0.5,
        eta_mu: float = 1e-4,
        eta_h: float = 5e-4,
        every: int | None = None,
        lowest: float = 0.05,
        highest: float = 0.95,
        entropy_sign: int = 1,
    ) -> None:
        if entropy_sign not in (-1, 1):
            raise ValueError(f"balance: entropy_sign={entropy_sign} must be 1 or -1")
        if every is not None and every < 1:
            raise ValueError(f"balance: every={every} must be at least 1")
        self._mu = share("start", start)
        self._eta_mu, self._eta_h = eta_mu, eta_h
        self._every = every or min(20, max(1, steps // 10))
        self._lowest, self._highest = share("lowest", lowest), share("highest", highest)
        if lowest > highest:
            raise ValueError(f"balance: lowest={lowest} must not be above highest={highest}")
        self._sign = entropy_sign
        self._target: float | None = None

    def mu(self, step: int) -> float:
        return self._mu

    def update(self, signal: Signal) -> dict[str, float]:
        if self._target is None:
            self._target = signal.entropy
        if signal.step == 0 or signal.step % self._every:
            return {}
        utility_term = self._eta_mu * (signal.product or 0.0)
        entropy_term = 0.0
        if signal.entropy is not None and self._target is not None:
            entropy_term = self._sign * self._eta_h * (self._target - signal.entropy)
        moved = self._mu + utility_term + entropy_term
        self._mu = min(self._highest, max(self._lowest, moved))
        return {"meta/utility_term": utility_term, "meta/entropy_term": entropy_term}

    def state_dict(self) -> dict[str, Any]:
        return {"mu": self._mu, "target": self._target}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._mu, self._target = state["mu"], state["target"]
