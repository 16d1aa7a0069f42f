"""What a utility is shown of a step, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agents.trajectory import Trajectory
from amft_mm.learner import Example, Learner, Loss


@dataclass(frozen=True)
class Look:
    """grad U . z, and |grad U|."""

    product: float
    norm: float


@dataclass(frozen=True)
class View:
    """A step, as far as utilities need it. The functions do nothing until they are called."""

    number: int
    """Of the mixed step, from 0."""
    learner: Learner
    trajectories: Sequence[Trajectory]
    """This process's rollouts of the step: of task instances that no update has seen."""
    learnable: bool
    """Whether any episode of the team's groups differed from the others."""
    play_heldout: Callable[[int], list[Example]]
    """So many task instances of a held-out set, played and credited (return less the group's mean)."""
    demonstrated: Callable[[Trajectory], Example | None]
    """The expert's episode of the same task instance."""
    heldout_demonstrations: Callable[[int], list[Example]]
    """So many demonstrations that no step imitates."""


class Utility(Protocol):
    while_exploring: bool
    """Whether it looks while the exploration gradient is in .grad (else at an empty .grad)."""

    def look(self, view: View) -> Look | None: ...


def look_at(learner: Learner, examples: Sequence[Example], loss: Loss) -> Look:
    """The look at U = -loss."""
    learner.gradients(examples, loss)
    found = Look(-learner.mixed.along(), learner.gradient_norm())
    learner.drop_gradients()
    return found
