"""reinforce, rloo: -r A, a mean over conversations of the sum over their tokens.

The gradient is the plain policy gradient. With advantages "return less the mean of the others" it is
rloo. r is 1 where the weights are those that sampled; else it is the unclipped importance ratio.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.exploration.clipped import advantages_of

BY_ADVANTAGE = True


def loss(tokens: Tokens, totals: Totals) -> torch.Tensor:
    return -(tokens.log_ratios.exp() * advantages_of(tokens)).sum() * totals.per_sequence
