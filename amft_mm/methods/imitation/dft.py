"""dft (arXiv 2508.05629): -sg(p) log p. What the model finds unlikely pulls less."""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals


def loss(tokens: Tokens, totals: Totals) -> torch.Tensor:
    weights = tokens.log_probs.detach().exp()
    return -(weights * tokens.log_probs).sum() * totals.per_token
