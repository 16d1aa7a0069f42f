"""trapo (arXiv 2512.17636): rollouts, some of which began as a demonstration does.

    own tokens    the clipped surrogate
    given tokens  trsft: -p / sg(max(p, alpha))

a mean over all tokens.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.exploration.clipped import advantages_of, surrogate
from amft_mm.methods.imitation.trsft import trust


def loss(tokens: Tokens, totals: Totals, clip: float = 0.2, alpha: float = 0.1) -> torch.Tensor:
    own = tokens.own
    explored = surrogate(tokens.log_ratios, advantages_of(tokens), clip, clip)
    return (own * explored - (1 - own) * trust(tokens.log_probs, alpha)).sum() * totals.per_token
