"""The clipped surrogate that the PPO family shares: -min(r A, clip(r, 1 - low, 1 + high) A).

Where A < 0 a ratio has no upper bound, and a token whose ratio is 50 pulls 50 times. With `dual` (arXiv
1912.09729; 3 is usual) the term of such a token is at most -dual A, and it pulls no more beyond.
`low` or `high` None does not clip, and then there is nothing that `dual` bounds.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens


def advantages_of(tokens: Tokens) -> torch.Tensor:
    if tokens.advantages is None:
        raise ValueError("exploration needs advantages: give rollouts their credit first")
    return tokens.advantages


def surrogate(
    tokens: Tokens,
    low: float | None,
    high: float | None,
    dual: float | None = None,
) -> torch.Tensor:
    """Of each token."""
    return clipped(tokens, tokens.log_ratios, advantages_of(tokens), low, high, dual)


def clipped(
    tokens: Tokens,
    log_ratios: torch.Tensor,
    advantages: torch.Tensor,
    low: float | None,
    high: float | None,
    dual: float | None = None,
) -> torch.Tensor:
    """Of any ratios; what was clipped is noted at `tokens`."""
    ratios = log_ratios.exp()
    free = -ratios * advantages
    if dual is not None and not dual > 1:
        raise ValueError(f"exploration: dual={dual} must be above 1, or null for no bound")
    if low is None or high is None:
        if dual is not None:
            raise ValueError(
                f"exploration: dual={dual} needs clip bounds beside it: give them, or dual=null"
            )
        return free
    if low < 0 or high < 0:
        raise ValueError(f"clip range {low}, {high} must not be negative")
    bounded = -ratios.clamp(1 - low, 1 + high) * advantages
    tokens.note("clip/share", bounded > free)
    terms = torch.maximum(free, bounded)
    if dual is None:
        return terms
    most = -dual * advantages
    too_far = (advantages < 0) & (terms > most)
    tokens.note("clip/dual", too_far)
    return torch.where(too_far, most, terms)
