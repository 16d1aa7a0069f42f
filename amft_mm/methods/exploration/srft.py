"""srft (arXiv 2506.19767): imitation and exploration at once, weighed by entropy.

    L =  mean over demonstrations' tokens   of  -w_S log p + the clipped surrogate with p as its ratio
       + mean over successes' tokens        of  -w_R log p
       + mean over failures' tokens         of  +log p

    w_S = 0.5 exp(-H),  w_R = 0.1 exp(+H),  H the mean entropy of the conversation's tokens

Weights carry no gradient; demonstrations joined their groups, and A = (return - mean) / std there. Three
means: one over everything would make demonstrations, one in a group of G, G times weaker. The authors' code
was not found; the re-implementation in Unify-Post-Training has this imitation term and its H.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.exploration.clipped import advantages_of, clipped


def loss(
    tokens: Tokens,
    totals: Totals,
    clip: float | None = 0.2,
    shown: float = 0.5,
    succeeded: float = 0.1,
    dual: float | None = None,
) -> torch.Tensor:
    if tokens.outcomes is None:
        raise ValueError("srft needs the outcomes of episodes")
    own, good = tokens.own, tokens.outcomes
    entropy = tokens.spread(tokens.means(tokens.entropies.detach()))
    given = own == 0  # what is clipped is told of these alone
    joined, advantages = torch.zeros_like(tokens.log_probs), advantages_of(tokens)
    joined[given] = clipped(tokens, tokens.log_probs[given], advantages[given], clip, clip, dual)
    imitated = joined - shown * (-entropy).exp() * tokens.log_probs
    won = -succeeded * entropy.exp() * tokens.log_probs
    terms = (
        (1 - own) * imitated / max(totals.given, 1)
        + own * good * won / max(totals.won, 1)
        + own * (1 - good) * tokens.log_probs / max(totals.lost, 1)
    )
    return tokens.weighed(terms).sum()
