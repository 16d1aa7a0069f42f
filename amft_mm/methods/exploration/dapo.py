"""dapo (arXiv 2503.14476): a mean over all tokens, clipped further above than below.

Its other parts are elsewhere: groups without a difference are drawn again by the rollouts, and
conversations that were cut for their length are masked by the credit.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.exploration.clipped import advantages_of, surrogate

BY_ADVANTAGE = True


def loss(
    tokens: Tokens, totals: Totals, clip_low: float = 0.2, clip_high: float = 0.28
) -> torch.Tensor:
    terms = surrogate(tokens.log_ratios, advantages_of(tokens), clip_low, clip_high)
    return terms.sum() * totals.per_token
