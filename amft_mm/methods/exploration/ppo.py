"""ppo (arXiv 1707.06347): the clipped surrogate, a mean over all tokens of the batch.

With credit `gae` (amft_mm/learning/value.py) the advantages come from a value head.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.exploration.clipped import advantages_of, surrogate

BY_ADVANTAGE = True


def loss(tokens: Tokens, totals: Totals, clip: float = 0.2) -> torch.Tensor:
    terms = surrogate(tokens.log_ratios, advantages_of(tokens), clip, clip)
    return terms.sum() * totals.per_token
