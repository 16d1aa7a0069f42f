"""grpo (arXiv 2402.03300): the clipped surrogate, a mean over conversations of their tokens' mean.

Advantages are (return - mean) / std within the group.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals, scatter_mean
from amft_mm.methods.exploration.clipped import advantages_of, surrogate

BY_ADVANTAGE = True


def loss(tokens: Tokens, totals: Totals, clip: float = 0.2) -> torch.Tensor:
    terms = surrogate(tokens.log_ratios, advantages_of(tokens), clip, clip)
    return scatter_mean(terms, tokens, totals)
