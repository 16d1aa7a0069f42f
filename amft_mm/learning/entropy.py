"""An entropy bonus: the loss less a coefficient times the mean entropy of the tokens' distributions.

The gradient is that of the exact entropy of each distribution that a token was chosen from, over the whole
vocabulary; that other choices would have led to other distributions is left out, as everywhere.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Loss, Tokens, Totals


def with_entropy(loss: Loss, coefficient: float) -> Loss:
    def encouraged(tokens: Tokens, totals: Totals) -> torch.Tensor:
        return loss(tokens, totals) - coefficient * tokens.entropies.sum() * totals.per_token

    return encouraged
