"""sec (Self-Evolving Curriculum, arXiv 2505.14970): a bandit over the environments of a mix.

    r(c) = mean |A| over the episodes of environment c      what there is to be learnt from it now
    Q(c) <- alpha r(c) + (1 - alpha) Q(c)                   where c was played
    P(c) ~ share(c) exp(Q(c) / tau)

and each task instance of a step is of an environment that is drawn by P. From the paper's text, whose
categories are difficulties or kinds of problems: here they are environments. That P starts at the shares of
the run, and the values of alpha and tau, are an own reading: its code was not at hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amft_mm.data.curriculum.base import Curriculum
from envs import contract


class SEC(Curriculum):
    def __init__(
        self,
        shares: Sequence[float],
        pool: int | None,
        seed: int,
        alpha: float = 0.5,
        tau: float = 0.5,
    ) -> None:
        super().__init__(shares, pool, seed)
        self._alpha = contract.share("train.curriculum.alpha", alpha)
        if not tau > 0:
            raise ValueError(f"train.curriculum.tau={tau} must be above 0")
        self._tau = tau
        self._worth = [0.0] * len(self.shares)

    def chances(self) -> np.ndarray:
        worth = np.array(self._worth) / self._tau
        weights = np.array(self.shares) * np.exp(worth - worth.max())
        return weights / weights.sum()

    def deal(self, step: int, count: int) -> list[int]:
        return self.random(0, step).multinomial(count, self.chances()).tolist()

    def credited(self, sizes: Mapping[int, float]) -> None:
        for environment, size in sizes.items():
            before = self._worth[environment]
            self._worth[environment] = self._alpha * size + (1 - self._alpha) * before

    def figures(self) -> dict[str, float]:
        return {f"curriculum/share_{k}": float(p) for k, p in enumerate(self.chances())}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "worth": self._worth}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._worth = [float(worth) for worth in state["worth"]]
