"""variance: only the groups are learnt from that hold most of the variance of returns.

Of a step's groups, by falling variance of their members' returns, so many that together they hold at least
`share` of the sum of all; where nothing differs, all. RAGEN's filter (arXiv 2504.20073; its scripts' `top_p`
by `reward_variance`, linear and without zeros).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agents.trajectory import Trajectory
from amft_mm.data.curriculum.base import Curriculum
from amft_mm.methods.guidance.base import Group
from amft_mm.runs.processes import ProcessGroup
from envs import contract

ROUNDING = 1e-9


class Variance(Curriculum):
    def __init__(
        self, shares: Sequence[float], pool: int | None, seed: int, share: float = 0.9
    ) -> None:
        super().__init__(shares, pool, seed)
        self._share = contract.share("train.curriculum.share", share)

    def keep(self, groups: Sequence[Group], processes: ProcessGroup) -> list[Group]:
        own = [(spread(members), members[0].task) for _, members in groups]
        ranked = sorted(processes.gather(own), key=lambda one: (-one[0], one[1]))
        whole = sum(variance for variance, _ in ranked)
        if not whole > 0:
            return list(groups)
        kept, held = set(), 0.0
        for variance, task in ranked:
            if held >= self._share * whole - ROUNDING or not variance > 0:
                break
            kept.add(task)
            held += variance
        return [group for group in groups if group[1][0].task in kept]


def spread(members: Sequence[Trajectory]) -> float:
    returns = [t.total_reward for t in members if not t.failed]
    return float(np.var(returns)) if returns else 0.0
