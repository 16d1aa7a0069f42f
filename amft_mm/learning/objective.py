"""A loss and what it has to be told: what `learner.gradients` takes the gradient of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from agents.conversation import Conversation
from agents.policy import Measure
from amft_mm.learning.correction import Correction
from amft_mm.learning.example import Example
from amft_mm.learning.tokens import Loss

Reference = Callable[[Sequence[Conversation]], torch.Tensor]


@dataclass(frozen=True)
class Objective:
    """A loss, and what it has to be told beside the tokens themselves."""

    loss: Loss
    reference: Reference | None = None
    """Other weights' log-probabilities of the chosen tokens."""
    measure: Callable[[Sequence[Example]], Measure] | None = None
    """What is to be measured of whole distributions."""
    by_advantage: bool = False
    """Whether its gradient is 0 where advantages are: such conversations are read, without a gradient."""
    temperature: float = 1.0
    """Of the policy: the model at the temperature that rollouts were sampled at."""
    correction: Correction | None = None
    """Of the engine's probabilities."""
