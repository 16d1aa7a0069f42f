"""sft: -log p, a mean over all tokens of the batch (not of micro-batches: arXiv 2604.23747)."""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals


def loss(tokens: Tokens, totals: Totals) -> torch.Tensor:
    return -tokens.log_probs.sum() * totals.per_token
