"""dr_grpo (arXiv 2503.20783): no division by the group's std, and by one constant length for all.

Dividing each conversation by its own length makes long failures cheap; a constant does not.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.exploration.clipped import advantages_of, surrogate

BY_ADVANTAGE = True


def loss(tokens: Tokens, totals: Totals, clip: float = 0.2, length: float = 512.0) -> torch.Tensor:
    if not length > 0:
        raise ValueError(f"dr_grpo: length={length} must be above 0")
    terms = surrogate(tokens.log_ratios, advantages_of(tokens), clip, clip)
    return terms.sum() * totals.per_sequence / length
