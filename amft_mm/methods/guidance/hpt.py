"""hpt (Unify-Post-Training, arXiv 2509.04419): each task instance is explored or imitated.

Where a group's success is at most gamma, its rollouts are dropped and its demonstration is imitated; else it
is explored. mu is the share of task instances that are imitated, so that the loss is a mean over task
instances: with gamma below 0 this is exploration, with gamma from 1 it is imitation.

The official code has gamma = 0 (2 of 8 for Llama), advantages without a standard deviation, no clipping and
two updates a batch. It adds a token mean of imitation to a sum over 8,192 of exploration, in every
micro-batch, which gives the two no definite weight; here is the paper's, one for each task instance.
"""

from __future__ import annotations

from collections.abc import Sequence

from agents.trajectory import Trajectory
from amft_mm.methods.guidance.base import Choice, Group, Guidance, Place, success_rate
from amft_mm.runs.processes import ProcessGroup


class HPT(Guidance):
    shown = True
    sets_mu = True

    def __init__(self, gamma: float = 0.0) -> None:
        self._gamma = gamma

    def choose(self, groups: Sequence[Group], processes: ProcessGroup) -> Choice:
        explore: list[Trajectory] = []
        imitate: list[Place] = []
        for place, members in groups:
            rate = success_rate(members)
            if rate is not None and rate <= self._gamma:
                imitate.append(place)
            else:
                explore += members
        imitated, all_ = processes.sum(len(imitate), len(groups))
        return Choice(explore, imitate, imitated / max(all_, 1))
