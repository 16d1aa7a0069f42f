"""What a utility is shown of a step, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agents.trajectory import Trajectory
from amft_mm.learning.learner import Example, Learner, Objective
from amft_mm.learning.tokens import Loss
from amft_mm.methods.parts import MixedPart

MOST = 10**9
"""Of steps, tasks and demonstrations that a utility may be told."""


@dataclass(frozen=True)
class Look:
    """grad U . z, and |grad U|."""

    product: float
    norm: float


class Draws(Protocol):
    """What can be drawn beside the step's own data; `only` names an environment, None is all of them."""

    def heldout_rollouts(self, step: int, tasks: int, only: str | None = None) -> list[Example]: ...

    def heldout_demonstrations(
        self, step: int, count: int, only: str | None = None
    ) -> list[Example]: ...

    def expert_of(self, trajectory: Trajectory) -> Example | None: ...


@dataclass(frozen=True)
class View:
    """A step, as far as utilities need it."""

    number: int
    """Of the mixed step, from 0."""
    step: int
    """Of the run."""
    part: MixedPart
    learner: Learner
    trajectories: Sequence[Trajectory]
    """This process's rollouts of the step and part: of task instances that no update has seen."""
    learnable: bool
    """Whether any episode of all processes' groups differed from the others."""
    sources: Draws
    """Of what is held out, and of the expert's episodes."""

    def is_due(self, every: int) -> bool:
        """Whether a utility that looks every so many steps looks at this one; before the second, no mix
        has done anything."""
        return self.number > 0 and self.number % every == 0


class Utility(Protocol):
    def look(self, view: View) -> Look | None:
        """The step's exploration gradient is taken (`view.learner.mixed.exploration`), .grad is empty."""
        ...


def look_at(view: View, examples: Sequence[Example], loss: Loss) -> Look:
    """The look at U = -loss."""
    learner = view.learner
    learner.gradients(examples, Objective(loss))
    found = Look(-learner.mixed.along(view.part.name), learner.gradient_norm())
    learner.drop_gradients()
    return found
