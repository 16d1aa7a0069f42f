"""luffy (arXiv 2504.14945): rollouts, and demonstrations that joined their groups.

    own tokens    the clipped surrogate
    given tokens  -f(p) A, f(p) = p / (p + gamma), the demonstration's own probability taken as 1

a mean over all tokens; A = return less the group's mean. Without demonstrations it is its own RL: dapo
with one clip range.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.exploration.clipped import advantages_of, surrogate
from amft_mm.methods.imitation.shaped import shape

BY_ADVANTAGE = True


def loss(tokens: Tokens, totals: Totals, clip: float = 0.2, gamma: float = 0.1) -> torch.Tensor:
    advantages, own = advantages_of(tokens), tokens.own
    explored = surrogate(tokens.log_ratios, advantages, clip, clip)
    shown = -shape(tokens.log_probs, gamma) * advantages
    return (own * explored + (1 - own) * shown).sum() * totals.per_token
