"""rl_plus (RL-PLUS, arXiv 2508.00222): rollouts, and demonstrations that joined their groups.

    own tokens    -r A
    given tokens  -2 p / (p_old + w) A (1 - sg p)^gamma,  w = (p_old + 1) / 2

w stands for the unknown policy that wrote the demonstration, half the old policy and half certainty, so that
the ratio is bounded; the last factor turns to what is unlikely as yet. A = return less the group's mean. The
official code has gamma = 0.5 and no clipping, and divides the sum by a constant length; here that is a mean
over conversations of their sums over `length`. p_old of a demonstration is the present p, held fixed.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals, length_mean
from amft_mm.methods.exploration.clipped import advantages_of

BY_ADVANTAGE = True


def loss(tokens: Tokens, totals: Totals, gamma: float = 0.5, length: float = 512.0) -> torch.Tensor:
    if not gamma >= 0:
        raise ValueError(f"rl_plus: gamma={gamma} must be 0 or above")
    p, own = tokens.log_probs.exp(), tokens.own
    old = p.detach()
    shown = 2 * p / (old + 0.5 * (old + 1)) * (1 - old) ** gamma
    ratios = own * tokens.log_ratios.exp() + (1 - own) * shown
    return length_mean(-ratios * advantages_of(tokens), tokens, totals, length)
