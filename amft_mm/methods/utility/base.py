"""What a utility is shown of a step, and what it says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from agents.trajectory import Trajectory
from amft_mm.learning.example import Example
from amft_mm.learning.learner import Learner
from amft_mm.methods.parts import MixedPart

MOST = 10**9
"""Of steps, tasks and demonstrations that a utility may be told."""
LARGEST_RATIO = 2.0
"""An episode counts so often at most, however much likelier it has become: its weight's variance stays
bounded (truncated importance sampling)."""


@dataclass(frozen=True)
class Look:
    """d U / d mu as a mean over task instances, and its standard error."""

    product: float
    error: float
    instances: int


class Draws(Protocol):
    """What can be drawn beside the step's own data; `only` names an environment, None is all of them."""

    def heldout_rollouts(
        self, step: int, tasks: int, only: str | None = None
    ) -> list[list[Trajectory]]: ...

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
    """This process's rollouts of the step and part, as they were rewarded: of task instances that no
    update has seen, but where they are of a pool (`train.pool`) or those of demonstrations (guidance)."""
    sources: Draws
    """Of what is held out, and of the expert's episodes."""
    temperature: float = 1.0
    """At which rollouts are sampled: the policy is the model at this temperature."""
    staleness: int = 0
    """How many steps older than the present ones the weights are that played `trajectories`."""

    def ratios(self, examples: Sequence[Example]) -> list[float]:
        """What each of `trajectories` counts in a mean over the present policy's episodes. It is one number
        a conversation, since a return is credited to all tokens. Asked for in all processes at once."""
        if not self.staleness:
            return [1.0] * len(examples)
        found = self.learner.ratios(examples, self.temperature)
        return [min(ratio, LARGEST_RATIO) for ratio in found]

    def is_due(self, every: int) -> bool:
        """Whether a utility that looks every so many steps looks at this one; before the second, no mix
        has done anything."""
        return self.number > 0 and self.number % every == 0


class Utility(Protocol):
    def look(self, view: View) -> Look | None:
        """Asked for in all processes at once."""
        ...


def weighted(example: Example, weight: float) -> Example:
    """With a weight for each of its answers."""
    return replace(example, advantages=np.full(len(example.conversation.answers), weight))


def look_at(
    learner: Learner,
    part: str,
    examples: Sequence[Example],
    places: Sequence[int],
    instances: int,
    temperature: float = 1.0,
) -> Look | None:
    """From examples whose products with z add up to each task instance's own d U / d mu; `places` says whose
    each is, of so many in this process. The look is all processes'.

    Its error is the root of the sum of squares: were U flat, that of their squares is the variance of
    their sum without bias, however few they are. Nothing is to be seen where all are 0."""
    each = [0.0] * instances
    products = learner.products(part, examples, temperature)
    for place, product in zip(places, products, strict=True):
        each[place] += product
    count, total, square = learner.processes.sum(instances, sum(each), sum(x**2 for x in each))
    if not (square > 0 and math.isfinite(square)):
        return None
    return Look(total / count, math.sqrt(square) / count, round(count))
