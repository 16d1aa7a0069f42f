"""gspo (arXiv 2507.18071): one ratio a conversation, exp of its tokens' mean log-ratio, clipped.

s = exp(mean_t log r_t); the loss is a mean over conversations of -min(s A, clip(s) A). The
advantage of a conversation is its tokens' mean; with credit by episode they are all the same.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.exploration.clipped import advantages_of, clipped

BY_ADVANTAGE = True


def loss(
    tokens: Tokens,
    totals: Totals,
    clip_low: float = 3e-4,
    clip_high: float = 4e-4,
    dual: float | None = None,
) -> torch.Tensor:
    ratios, advantages = tokens.means(tokens.log_ratios), tokens.means(advantages_of(tokens))
    terms = clipped(tokens, ratios, advantages, clip_low, clip_high, dual)
    return tokens.weighed(terms).sum() * totals.per_sequence
