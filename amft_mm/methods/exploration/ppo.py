"""ppo (arXiv 1707.06347): the clipped surrogate, a mean over all tokens of the batch.

With credit `gae` (amft_mm/learning/value.py) the advantages come from a value head.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals, token_mean
from amft_mm.methods.exploration.clipped import surrogate

BY_ADVANTAGE = True


def loss(
    tokens: Tokens, totals: Totals, clip: float | None = 0.2, dual: float | None = None
) -> torch.Tensor:
    return token_mean(surrogate(tokens, clip, clip, dual), tokens, totals)
