"""sed (SED-SFT, 2026): -log p + lambda 1[mass of the k likeliest tokens < tau] (p - 1/2)^2.

Where many tokens would do, p is held near a half instead of being driven to 1. The published k is
2 or 3 and lambda 0.2 to 1; no tau was found, and 0.9 is a reading of ours.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals

NEEDS = ("top_mass",)


def loss(
    tokens: Tokens, totals: Totals, lam: float = 0.5, tau: float = 0.9, k: int = 3
) -> torch.Tensor:
    open_ended = (tokens.need_measured() < tau).to(tokens.log_probs.dtype)
    half = (tokens.log_probs.exp() - 0.5) ** 2
    return (-tokens.log_probs + lam * open_ended * half).sum() * totals.per_token
