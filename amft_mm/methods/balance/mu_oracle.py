"""mu_oracle: of several mixes the one that is best after the step, found by trying each. For studies.

    mu = argmax over tries of U(theta after the step on g = (1 - mu) g_R + mu g_S)

Each is made from the same weights and the same optimizer's state; U is the mean success of fresh episodes on
held-out task instances, the same instances and the same random numbers for all (amft_mm/training/ahead.py).
Of equals the nearest to the mix before. It looks one step ahead, with the noise of `tasks` groups: a ceiling
that controllers are measured against on small problems, and as dear as it sounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from amft_mm.methods.balance.base import Balance, share
from envs.contract import whole_number

MOST = 10**6


class MuOracle(Balance):
    def __init__(self, steps: int, start: float = 0.5, mixes: int = 5, tasks: int = 8) -> None:
        self._mu = share("start", start)
        self.trial_tasks = whole_number("balance.tasks", tasks, 1, MOST)
        count = whole_number("balance.mixes", mixes, 2, 101)
        self.tries = tuple(float(mu) for mu in np.linspace(0.0, 1.0, count))

    def mu(self, step: int) -> float:
        return self._mu

    def tried(self, worth: Sequence[float]) -> dict[str, float]:
        before, best = self._mu, max(worth)
        equal = [mu for mu, value in zip(self.tries, worth, strict=True) if value == best]
        self._mu = min(equal, key=lambda mu: abs(mu - before))
        return {
            f"oracle/success_{mu:.2f}": value for mu, value in zip(self.tries, worth, strict=True)
        }

    def state_dict(self) -> dict[str, Any]:
        return {"mu": self._mu}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._mu = state["mu"]
