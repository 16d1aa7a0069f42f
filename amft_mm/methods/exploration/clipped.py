"""The clipped surrogate that the PPO family shares: -min(r A, clip(r, 1 - low, 1 + high) A)."""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens


def advantages_of(tokens: Tokens) -> torch.Tensor:
    if tokens.advantages is None:
        raise ValueError("exploration needs advantages: give rollouts their credit first")
    return tokens.advantages


def surrogate(
    log_ratios: torch.Tensor, advantages: torch.Tensor, low: float, high: float
) -> torch.Tensor:
    if low < 0 or high < 0:
        raise ValueError(f"clip range {low}, {high} must not be negative")
    ratios = log_ratios.exp()
    clipped = ratios.clamp(1 - low, 1 + high)
    return -torch.minimum(ratios * advantages, clipped * advantages)
