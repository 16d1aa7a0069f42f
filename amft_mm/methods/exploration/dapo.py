"""dapo (arXiv 2503.14476): a mean over all tokens, clipped further above than below.

Its other parts are elsewhere: groups without a difference are drawn again by the rollouts, and answers that
come near their limit are given less (both in the preset).
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals, token_mean
from amft_mm.methods.exploration.clipped import surrogate

BY_ADVANTAGE = True


def loss(
    tokens: Tokens,
    totals: Totals,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    dual: float | None = None,
) -> torch.Tensor:
    return token_mean(surrogate(tokens, clip_low, clip_high, dual), tokens, totals)
