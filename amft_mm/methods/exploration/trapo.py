"""trapo (arXiv 2512.17636): rollouts, some of which began as a demonstration does.

    own tokens    -r A; with `clip`, the clipped surrogate
    given tokens  trsft: -p / sg(max(p, alpha))

As in luffy the official scripts clip nothing and divide own tokens' sum by one constant length; that given
ones are measured alike is an own reading. `length=null` is a mean over all tokens.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals, length_mean
from amft_mm.methods.exploration.clipped import surrogate
from amft_mm.methods.imitation.trsft import trust


def loss(
    tokens: Tokens,
    totals: Totals,
    clip: float | None = None,
    alpha: float = 0.1,
    length: float | None = None,
    dual: float | None = None,
) -> torch.Tensor:
    own = tokens.own
    explored = surrogate(tokens, clip, clip, dual)
    terms = own * explored - (1 - own) * trust(tokens.log_probs, alpha)
    return length_mean(terms, tokens, totals, length)
