"""What a curriculum decides, and what it is told. By itself it is `uniform`: it plays what comes.

    deal       how many task instances of each environment a step plays
    pick       which of an environment's pool; None: new ones, which nobody has played yet
    keep       which of the groups that were played are learnt from
    fared      it is told how task instances of the pool fared
    credited   it is told how large the advantages of each environment's episodes were

Everything is a function of (seed, step), of what was picked before and of what it was told, the same in
every process; what it remembers is in the checkpoint. Picking twice for a step gives the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amft_mm.config.settings import dealt
from amft_mm.methods.guidance.base import Group
from amft_mm.runs.processes import ProcessGroup


class Curriculum:
    def __init__(self, shares: Sequence[float], pool: int | None, seed: int) -> None:
        self.shares, self.pool, self.seed = list(shares), pool, seed
        self._dealt: dict[int, tuple[int, int, int]] = {}
        """Of an environment's pool: the last step, how many instances were picked before it, and in it."""

    def deal(self, step: int, count: int) -> list[int]:
        return dealt(count, self.shares, step)

    def pick(self, environment: int, step: int, count: int, again: int = 0) -> list[int] | None:
        """`again` counts the draws of a step that groups without a difference made necessary. Each of
        the pool is played once before any is played again, in an order that changes each time."""
        if self.pool is None:
            return None
        if again:
            return self.random(environment, step, again).integers(self.pool, size=count).tolist()
        last, before, then = self._dealt.get(environment, (step, 0, 0))
        first = before if step == last else before + then
        self._dealt[environment] = (step, first, count)
        places = [divmod(first + k, self.pool) for k in range(count)]
        orders = {
            round_: np.random.default_rng([self.seed, environment, round_, 19]).permutation(
                self.pool
            )
            for round_, _ in places
        }
        return [int(orders[round_][place]) for round_, place in places]

    def keep(self, groups: Sequence[Group], processes: ProcessGroup) -> list[Group]:
        """Of this process's."""
        return list(groups)

    def fared(self, environment: int, success: Mapping[int, float]) -> None:
        pass

    def credited(self, sizes: Mapping[int, float]) -> None:
        pass

    def figures(self) -> dict[str, float]:
        """What is worth logging."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {"dealt": self._dealt}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        dealt = state.get("dealt", {}).items()
        self._dealt = {int(k): (int(s), int(before), int(n)) for k, (s, before, n) in dealt}

    def random(self, environment: int, step: int, again: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, environment, step, again, 23])
