"""dr_grpo (arXiv 2503.20783): no division by the group's std, and by one constant length for all.

Dividing each conversation by its own length makes long failures cheap; a constant does not. With clip=null
it is what the official scripts of luffy, relift, hpt and trapo explore by: the sum of -r A over a constant
length.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals, length_mean
from amft_mm.methods.exploration.clipped import surrogate

BY_ADVANTAGE = True


def loss(
    tokens: Tokens,
    totals: Totals,
    clip: float | None = 0.2,
    length: float = 512.0,
    dual: float | None = None,
) -> torch.Tensor:
    return length_mean(surrogate(tokens, clip, clip, dual), tokens, totals, length)
