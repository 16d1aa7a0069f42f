"""cispo (MiniMax-M1, arXiv 2506.13585): -sg(clip(r, 1 - low, 1 + high)) A log p, a mean over all tokens.

The ratio is bounded, and no token is left out: rare tokens at which an answer turns keep their gradient.
There is no lower bound (low = 1). MiniMax do not tell their upper one; that ratios count up to 5 is what
public implementations have by default.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals, token_mean
from amft_mm.methods.exploration.clipped import advantages_of

BY_ADVANTAGE = True


def loss(
    tokens: Tokens, totals: Totals, clip_low: float = 1.0, clip_high: float = 4.0
) -> torch.Tensor:
    if not (0 <= clip_low <= 1 and clip_high >= 0):
        raise ValueError(
            f"cispo: clip range {clip_low}, {clip_high} must be 0 to 1, and 0 or above"
        )
    ratios = tokens.log_ratios.detach().exp()
    bounded = ratios.clamp(1 - clip_low, 1 + clip_high)
    tokens.note("clip/share", bounded != ratios)
    return token_mean(-bounded * advantages_of(tokens) * tokens.log_probs, tokens, totals)
