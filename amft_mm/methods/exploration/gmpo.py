"""gmpo (arXiv 2507.20673): the geometric mean of a conversation's ratios, each clipped before.

    -A exp( mean_t c_t ),   c_t = min(log r, high) where A > 0,  max(log r, -low) where A < 0

a mean over conversations. Outliers move a geometric mean little, so that the range is wide: 0.4 to both
sides, in logarithms. The advantage of a conversation is its tokens' mean; with credit by episode they are
all the same.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.exploration.clipped import advantages_of

BY_ADVANTAGE = True


def loss(
    tokens: Tokens, totals: Totals, clip_low: float = 0.4, clip_high: float = 0.4
) -> torch.Tensor:
    if clip_low < 0 or clip_high < 0:
        raise ValueError(f"clip range {clip_low}, {clip_high} must not be negative")
    advantages, log_r = advantages_of(tokens), tokens.log_ratios
    bounded = torch.where(advantages > 0, log_r.clamp(max=clip_high), log_r.clamp(min=-clip_low))
    tokens.note("clip/share", bounded != log_r)
    terms = -tokens.means(advantages) * tokens.means(bounded).exp()
    return tokens.weighed(terms).sum() * totals.per_sequence
