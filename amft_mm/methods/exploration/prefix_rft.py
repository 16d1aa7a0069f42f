"""prefix_rft (arXiv 2507.01679): rollouts, some of which began as a demonstration does.

The clipped surrogate, a mean over all tokens; of the tokens that were given, only the share `top` with the
highest entropy in their conversation is learnt from, with ratio 1 and the episode's advantage.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals, token_mean
from amft_mm.methods.exploration.clipped import surrogate
from envs.contract import share

BY_ADVANTAGE = True


def loss(
    tokens: Tokens,
    totals: Totals,
    clip: float | None = 0.2,
    top: float = 0.2,
    dual: float | None = None,
) -> torch.Tensor:
    share("exploration.top", top)
    terms = surrogate(tokens, clip, clip, dual)
    if tokens.given is None:
        return token_mean(terms, tokens, totals)
    learnt = ~tokens.given
    for place in range(len(tokens.lengths)):
        (given,) = torch.where(tokens.given & (tokens.sequence == place))
        count = round(top * len(given))
        learnt[given[tokens.entropies[given].topk(count).indices]] = True
    return token_mean(terms * learnt, tokens, totals)
