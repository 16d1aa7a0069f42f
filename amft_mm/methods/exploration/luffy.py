"""luffy (arXiv 2504.14945): rollouts, and demonstrations that joined their groups.

    own tokens    -r A; with `clip`, the clipped surrogate
    given tokens  -f(p) A, f(p) = p / (p + gamma), the demonstration's own probability taken as 1

A = return less the group's mean. The official scripts clip nothing and divide the sum by one constant length,
as dr_grpo does; the paper's formula is a mean over all tokens, which is `length=null`.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals, length_mean
from amft_mm.methods.exploration.clipped import advantages_of, surrogate
from amft_mm.methods.imitation.shaped import shape

BY_ADVANTAGE = True


def loss(
    tokens: Tokens,
    totals: Totals,
    clip: float | None = None,
    gamma: float = 0.1,
    length: float | None = None,
    dual: float | None = None,
) -> torch.Tensor:
    own = tokens.own
    shown = -shape(tokens.log_probs, gamma) * advantages_of(tokens)
    terms = own * surrogate(tokens, clip, clip, dual) + (1 - own) * shown
    return length_mean(terms, tokens, totals, length)
