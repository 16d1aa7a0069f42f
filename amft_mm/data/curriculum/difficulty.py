"""difficulty: what failed last is played more often (prioritised sampling, Kimi k1.5, arXiv 2501.12599).

    P(i) ~ max(1 - s_i, floor)

s_i is the success of task instance i when it was last played, 0 before. Nothing is played twice in a step
while the pool has others. `floor` keeps what is solved in play, so that forgetting is noticed: an addition of
our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amft_mm.data.curriculum.base import Curriculum
from envs.contract import share


class Difficulty(Curriculum):
    def __init__(
        self, shares: Sequence[float], pool: int | None, seed: int, floor: float = 0.05
    ) -> None:
        super().__init__(shares, pool, seed)
        self._floor = share("train.curriculum.floor", floor)
        if floor == 0:
            raise ValueError(
                "train.curriculum.floor=0 would leave nothing to play once all is solved"
            )
        self._success: dict[int, dict[int, float]] = {}
        self._now: dict[int, list[int]] = {}
        """What the present step has picked."""

    def weights(self, environment: int) -> np.ndarray:
        assert self.pool is not None
        success = np.zeros(self.pool)
        for instance, rate in self._success.get(environment, {}).items():
            success[instance] = rate
        weights = np.maximum(1 - success, self._floor)
        return weights / weights.sum()

    def pick(self, environment: int, step: int, count: int, again: int = 0) -> list[int] | None:
        assert self.pool is not None
        random, weights = self.random(environment, step, again), self.weights(environment)
        before = self._now.get(environment, []) if again else []
        others = weights.copy()
        others[before] = 0
        fresh = min(count, int((others > 0).sum()))
        picked: list[int] = []
        if fresh:
            chances = others / others.sum() if before else weights
            picked = random.choice(self.pool, fresh, replace=False, p=chances).tolist()
        picked += random.choice(self.pool, count - fresh, p=weights).tolist()
        self._now[environment] = before + picked
        return picked

    def fared(self, environment: int, success: Mapping[int, float]) -> None:
        self._success.setdefault(environment, {}).update(success)

    def figures(self) -> dict[str, float]:
        known = [rate for rates in self._success.values() for rate in rates.values()]
        return {"curriculum/solved": float(np.mean(known)) if known else 0.0}

    def state_dict(self) -> dict[str, Any]:
        return {"success": self._success}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._success = {
            int(environment): {int(i): float(rate) for i, rate in rates.items()}
            for environment, rates in state["success"].items()
        }
