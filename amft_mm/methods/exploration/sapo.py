"""sapo (arXiv 2511.20347): the ratio goes through a soft gate instead of a clip.

    -f(r) A,   f(r) = 4 / tau sigmoid(tau (r - 1)),   tau = positive where A > 0, else negative

a mean over conversations of their tokens' mean. f'(1) = 1, so that on policy it is grpo; far from 1 the
gradient fades, and faster where A < 0 (1.05 against 1).
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals, scatter_mean
from amft_mm.methods.exploration.clipped import advantages_of

BY_ADVANTAGE = True


def loss(
    tokens: Tokens, totals: Totals, positive: float = 1.0, negative: float = 1.05
) -> torch.Tensor:
    if not (positive > 0 and negative > 0):
        raise ValueError(f"sapo: positive={positive} and negative={negative} must be above 0")
    advantages = advantages_of(tokens)
    tau = torch.where(advantages > 0, positive, negative).to(tokens.log_probs.dtype)
    gate = 4 / tau * torch.sigmoid(tau * (tokens.log_ratios.exp() - 1))
    return scatter_mean(-gate * advantages, tokens, totals)
