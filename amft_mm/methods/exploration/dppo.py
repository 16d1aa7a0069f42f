"""dppo (arXiv 2602.04879): leaves out tokens whose probability has moved too far, instead of clipping ratios.

    -m sg(min(r, most)) A log p        summed over one constant length, a mean over conversations

    tv   m = 1 unless  A > 0 and p - p_old > bound,  or  A < 0 and p - p_old < -bound
    kl   m = 1 unless  KL(p_old || p) of the two outcomes "this token" and "another" is beyond the bound,
         and p lies on the side that A pushes to

A ratio of 100 at a token of 1e-5 hardly moves the distribution, one of 0.8 at a token of 0.99 moves it far:
the mask sees that. The authors' script has bounds of 0.15 (tv) and 0.05 (kl), advantages less the mean alone,
and ratios against what the engine sampled with (`correction: none`).
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals, length_mean
from amft_mm.methods.exploration.clipped import advantages_of
from envs.contract import one_of

BY_ADVANTAGE = True
BOUNDS = {"tv": 0.15, "kl": 0.05}
SMALLEST = 1e-8


def loss(
    tokens: Tokens,
    totals: Totals,
    divergence: str = "tv",
    bound: float | None = None,
    most: float = 20.0,
    length: float | None = 512.0,
) -> torch.Tensor:
    one_of("method.exploration.divergence", divergence, tuple(BOUNDS))
    bound = BOUNDS[divergence] if bound is None else bound
    if not bound > 0:
        raise ValueError(f"dppo: bound={bound} must be above 0")
    if not most > 0:
        raise ValueError(f"dppo: most={most} must be above 0")
    advantages, log_r = advantages_of(tokens), tokens.log_ratios.detach()
    now = tokens.log_probs.detach()
    p, old = now.exp(), (now - log_r).exp()
    if divergence == "tv":
        far = (p - old).abs() > bound
    else:
        others = ((1 - old + SMALLEST) / (1 - p + SMALLEST)).log()
        far = -old * log_r + (1 - old) * others > bound
    pushed = torch.where(advantages > 0, p > old, p < old)
    masked = far & pushed
    tokens.note("clip/share", masked)
    kept = (~masked).to(p.dtype) * log_r.exp().clamp(max=most)
    return length_mean(-kept * advantages * tokens.log_probs, tokens, totals, length)
