"""nft (negative-aware fine-tuning, arXiv 2505.18116): supervised learning from one's own outcomes.

    o = 1:  -w log r
    o = 0:  -w log max(lowest, (1 - q r) / (1 - q))        r = pi / pi_old, q the group's success rate

a mean over tokens, with q from 0.02 to 0.98, log r up to 10, and the max straight through (its gradient is
that of the second entry). The official script has lowest = 1 and w = 1 - q, whose gradient is, on policy,
that of returns less their mean; w = sqrt((1 - q) / q) gives that of grpo (`weight=std`). It draws groups
that fare alike again, and divides the sum by a constant instead of the number of tokens.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals, token_mean
from envs.contract import one_of

WEIGHTS = ("mean", "std")


def loss(tokens: Tokens, totals: Totals, weight: str = "mean", lowest: float = 1.0) -> torch.Tensor:
    one_of("method.exploration.weight", weight, WEIGHTS)
    if not 0 < lowest <= 1:
        raise ValueError(f"nft: lowest={lowest} must be above 0 and at most 1")
    if tokens.outcomes is None or tokens.success_rates is None:
        raise ValueError("nft needs outcomes and success rates of groups")
    q = tokens.success_rates.clamp(0.02, 0.98)
    w = 1 - q if weight == "mean" else ((1 - q) / q).sqrt()
    # A group whose members all fare alike says nothing.
    w = w * ((tokens.success_rates > 0) & (tokens.success_rates < 1))
    log_r = tokens.log_ratios.clamp(max=10.0)
    rest = (1 - q * log_r.exp()) / (1 - q)
    bounded = rest + (rest.clamp(min=lowest) - rest).detach()
    tokens.note("clip/share", (rest < lowest) & (tokens.outcomes == 0))
    terms = tokens.outcomes * log_r + (1 - tokens.outcomes) * bounded.log()
    return token_mean(-w * terms, tokens, totals)
