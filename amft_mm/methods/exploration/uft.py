"""uft (UFT, arXiv 2505.16984): rollouts that begin with a hint, and the hint's likelihood.

    own tokens    the clipped surrogate, a mean over own tokens
    given tokens  -beta log p, a mean over given tokens

The official code has beta = 0.001, a KL penalty of the same weight, and grpo's advantages.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.exploration.clipped import surrogate


def loss(tokens: Tokens, totals: Totals, clip: float = 0.2, beta: float = 0.001) -> torch.Tensor:
    if not beta >= 0:
        raise ValueError(f"uft: beta={beta} must be 0 or above")
    own = tokens.own
    explored = own * surrogate(tokens, clip, clip)
    hinted = -(1 - own) * tokens.log_probs
    own_tokens = totals.tokens - totals.given
    terms = explored / max(own_tokens, 1) + beta * hinted / max(totals.given, 1)
    return tokens.weighed(terms).sum()
