"""prefix_rft (arXiv 2507.01679): rollouts, some of which began as a demonstration does.

The clipped surrogate, a mean over all tokens; of the tokens that were given, only the share `top` with the
highest entropy in their conversation is learnt from, with ratio 1 and the episode's advantage.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.exploration.clipped import advantages_of, surrogate
from envs.contract import share

BY_ADVANTAGE = True


def loss(tokens: Tokens, totals: Totals, clip: float = 0.2, top: float = 0.2) -> torch.Tensor:
    share("exploration.top", top)
    terms = surrogate(tokens.log_ratios, advantages_of(tokens), clip, clip)
    if tokens.given is None:
        return terms.sum() * totals.per_token
    learnt = ~tokens.given
    for place in range(len(tokens.lengths)):
        (given,) = torch.where(tokens.given & (tokens.sequence == place))
        count = round(top * len(given))
        learnt[given[tokens.entropies[given].topk(count).indices]] = True
    return (terms * learnt).sum() * totals.per_token
