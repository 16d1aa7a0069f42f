"""shaped (the shaping of LUFFY, arXiv 2504.14945): -f(p), f(p) = p / (p + gamma).

Its gradient is gamma p / (p + gamma)^2 times that of -log p: most where p is near gamma.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals


def loss(tokens: Tokens, totals: Totals, gamma: float = 0.1) -> torch.Tensor:
    return -shape(tokens.log_probs, gamma).sum() * totals.per_token


def shape(log_probs: torch.Tensor, gamma: float) -> torch.Tensor:
    if not gamma > 0:
        raise ValueError(f"shaping: gamma={gamma} must be above 0")
    p = log_probs.exp()
    return p / (p + gamma)
