"""reinforce, rloo, maxrl: -r A, a mean over conversations of the sum over their tokens.

The gradient is the plain policy gradient. r is 1 where the weights are those that sampled; else it is the
importance ratio, without bounds as their authors have it, or with `clip` and `dual` as PPO has it: where one
batch of rollouts makes several updates, a token that the first made e^5 times as likely would pull e^5 times.
What tells the three apart is the advantage:

    reinforce   the return
    rloo        return less the mean of the others
    maxrl       (return - mean) / mean, 0 where the mean is not above 0 (arXiv 2602.02710): where outcomes are
                0 or 1 the group's gradient is the mean of grad log pi over what succeeded, less that over all
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.exploration.clipped import surrogate

BY_ADVANTAGE = True


def loss(
    tokens: Tokens, totals: Totals, clip: float | None = None, dual: float | None = None
) -> torch.Tensor:
    return tokens.weighed(surrogate(tokens, clip, clip, dual)).sum() * totals.per_sequence
