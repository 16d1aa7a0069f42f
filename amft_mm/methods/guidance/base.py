"""What guides exploration by demonstrations of the very task instances that are explored.

`Guidance` by itself guides nothing; a method overrides what it changes:

    shown            whether the step's task instances are those of demonstrations
    rounds, shares   how much of its demonstration is given to each member of a group to begin with
    learnt           which of these beginnings are learnt from
    choose           what of a step is explored and what is imitated
    sets_mu          whether it also says mu, in the place of the balance
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.trajectory import Trajectory
from amft_mm.runs.processes import ProcessGroup

Place = tuple[int, int]
"""A demonstration: number of the environment, number of the row."""
Group = tuple[Place, list[Trajectory]]
"""Episodes of a task instance, and the demonstration of it."""


@dataclass(frozen=True)
class Choice:
    explore: list[Trajectory]
    imitate: list[Place] | None = None
    """This process's; None is what the run's data has next."""
    mu: float | None = None
    """None is what the balance says."""
    afterwards: list[Place] | None = None
    """This process's, imitated in an update of its own after the step's; None makes none."""


class Guidance:
    shown = False
    imitates_afterwards = False
    """Whether its choice may have something for `afterwards`."""
    sets_mu = False
    """Whether `choose` says mu, in the place of the balance."""

    def rounds(self, group: int) -> list[int]:
        """Sizes of the parts of a group that are played one after the other."""
        return [group]

    def shares(
        self, round_: int, size: int, done: float, won: float, rng: np.random.Generator
    ) -> list[float]:
        """For each member of a round, the share of the demonstration that it is given. `done` is the
        share of the run's steps that are made, `won` that of the group's episodes that succeeded."""
        return [0.0] * size

    def learnt(self, round_: int, size: int) -> list[bool]:
        """For each member of a round, whether what it is given is learnt from."""
        return [True] * size

    def choose(self, groups: Sequence[Group], processes: ProcessGroup) -> Choice:
        """From this process's groups of a step."""
        return Choice([t for _, members in groups for t in members])

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def success_rate(members: Sequence[Trajectory]) -> float | None:
    """Of the episodes that did not fail; None where all did."""
    played = [t.success for t in members if not t.failed]
    return float(np.mean(played)) if played else None
