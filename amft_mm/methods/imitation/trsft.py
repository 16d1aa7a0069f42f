"""trsft (TRAPO, arXiv 2512.17636): -p / sg(max(p, alpha)).

Where p > alpha the gradient is that of sft; below, it is weaker by p / alpha. As alpha -> 0 it is
sft's everywhere. The value differs from sft's: it is -1 where p > alpha.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals


def loss(tokens: Tokens, totals: Totals, alpha: float = 0.1) -> torch.Tensor:
    return -trust(tokens.log_probs, alpha).sum() * totals.per_token


def trust(log_probs: torch.Tensor, alpha: float) -> torch.Tensor:
    if not 0 <= alpha <= 1:
        raise ValueError(f"trsft: alpha={alpha} must be from 0 to 1")
    # p / sg(max(p, alpha)), with p written as exp(log p - sg) so that alpha = 0 divides nothing by 0.
    bound = log_probs.detach()
    if alpha > 0:
        bound = bound.clamp(min=torch.tensor(alpha, dtype=bound.dtype).log())
    return (log_probs - bound).exp()
