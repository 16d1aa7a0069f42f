"""chord_phi (CHORD, arXiv 2508.11408): -sg(p (1 - p)) log p. Neither what is known nor what is far."""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals


def loss(tokens: Tokens, totals: Totals) -> torch.Tensor:
    p = tokens.log_probs.detach().exp()
    return -(p * (1 - p) * tokens.log_probs).sum() * totals.per_token
