"""A loss and what it has to be told: what `learner.gradients` takes the gradient of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from agents.conversation import Conversation
from agents.policy import Measure
from amft_mm.learning.correction import Correction
from amft_mm.learning.example import Example
from amft_mm.learning.tokens import Loss, Tokens, Totals

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

    def value(self, tokens: Tokens, totals: Totals) -> torch.Tensor:
        """Of the loss, which may be somebody's own."""
        value: Any = self.loss(tokens, totals)
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            return value
        given = f"a tensor of shape {[*value.shape]}" if hasattr(value, "shape") else repr(value)
        raise ValueError(
            f"a loss gave {given:.100}, and has to give a tensor of one number: sum what the tokens give, "
            "and divide by totals.tokens or totals.sequences"
        )
