"""grpo (arXiv 2402.03300): the clipped surrogate, a mean over conversations of their tokens' mean.

Advantages are (return - mean) / std within the group.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals, scatter_mean
from amft_mm.methods.exploration.clipped import surrogate

BY_ADVANTAGE = True


def loss(
    tokens: Tokens, totals: Totals, clip: float | None = 0.2, dual: float | None = None
) -> torch.Tensor:
    return scatter_mean(surrogate(tokens, clip, clip, dual), tokens, totals)
