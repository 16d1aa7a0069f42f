"""pear (arXiv 2602.01058): sg(G_t) times -log p, with

    log G_t = (T - t) log gamma + sum_{j > t} clip(log pi_j - log pi_behaviour_j, -0.08, 0.3)

clipped to [-10, 5]: a token counts by how likely the policy is to go on as the demonstration does. T counts
the tokens of all the demonstration's answers. The behaviour is the model that wrote the demonstrations
(`behaviour`): with the policy's own beginning in its place weights would grow with whatever is learnt,
which is close to the opposite of what the method is for, so that it is refused without one.
"""

from __future__ import annotations

import math

import torch

from amft_mm.learning.tokens import Tokens, Totals

NEEDS = ("behaviour",)
OPTIONS = ("behaviour",)


def loss(tokens: Tokens, totals: Totals, gamma: float = 0.999) -> torch.Tensor:
    if tokens.reference_log_probs is None:
        raise ValueError("pear needs the log-probabilities of what wrote the demonstrations")
    apart = (tokens.log_probs.detach() - tokens.reference_log_probs).clamp(-0.08, 0.3)
    worth = apart + math.log(gamma)
    # Sums over what follows: of the whole conversation, less what is up to here.
    whole = tokens.spread(tokens.sums(worth))
    upto = worth.cumsum(0)
    before = torch.cat([upto.new_zeros(1), upto])[tokens.first]
    weights = (whole - (upto - before)).clamp(-10, 5).exp()
    return -(weights * tokens.log_probs).sum() * totals.per_token
