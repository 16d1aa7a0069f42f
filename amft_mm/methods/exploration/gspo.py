"""gspo (arXiv 2507.18071): one ratio a conversation, exp of its tokens' mean log-ratio, clipped.

s = exp(mean_t log r_t); the loss is a mean over conversations of -min(s A, clip(s) A). The
advantage of a conversation is its tokens' mean; with credit by episode they are all the same.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.exploration.clipped import advantages_of, surrogate

BY_ADVANTAGE = True


def loss(
    tokens: Tokens, totals: Totals, clip_low: float = 3e-4, clip_high: float = 4e-4
) -> torch.Tensor:
    lengths = torch.tensor(tokens.lengths, dtype=torch.long, device=tokens.log_probs.device).clamp(
        min=1
    )
    ratios = tokens.sums(tokens.log_ratios) / lengths
    advantages = tokens.sums(advantages_of(tokens)) / lengths
    return surrogate(ratios, advantages, clip_low, clip_high).sum() * totals.per_sequence
