"""srft (arXiv 2506.19767): imitation and exploration at once, weighed by entropy.

    rollouts that succeeded   -w_R log p,  w_R = 0.1 exp(+H)     H: mean entropy of the
    those that did not        +log p                                conversation's tokens
    demonstrations            -w_S log p,  w_S = 0.5 exp(-H), and the clipped surrogate with p as ratio

a mean over tokens; demonstrations joined their groups, and A = (return - mean) / std there. Weights carry
no gradient. The text leaves open over what H is taken: here over each conversation.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.exploration.clipped import advantages_of, surrogate


def loss(
    tokens: Tokens,
    totals: Totals,
    clip: float = 0.2,
    shown: float = 0.5,
    succeeded: float = 0.1,
) -> torch.Tensor:
    if tokens.outcomes is None:
        raise ValueError("srft needs the outcomes of episodes")
    own, good = tokens.own, tokens.outcomes
    entropy = tokens.spread(tokens.sums(tokens.entropies.detach())) / tokens.own_length
    explored = (1 - good - good * succeeded * entropy.exp()) * tokens.log_probs
    joined = surrogate(tokens.log_probs, advantages_of(tokens), clip, clip)
    imitated = joined - shown * (-entropy).exp() * tokens.log_probs
    return (own * explored + (1 - own) * imitated).sum() * totals.per_token
