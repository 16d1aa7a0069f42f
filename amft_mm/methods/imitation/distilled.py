"""A policy that learns from itself, told more: what sdpo and sdft have in common.

    D(pi(. | x, y_<t) || sg pi(. | x, told, y_<t))        of each token of the policy's own answers

over the whole vocabulary, a mean over the tokens of all episodes for which there is something to tell. With
alpha = 1, D is KL(policy || teacher); with 0, KL(teacher || policy); between, the divergence from their
mixture: alpha KL(teacher || m) + (1 - alpha) KL(policy || m), m = (1 - alpha) policy + alpha teacher.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn import functional as F

from agents import anatomy
from agents.policy import Measure, Policy
from amft_mm.learning.example import Example
from amft_mm.learning.tokens import Tokens, Totals


def loss(tokens: Tokens, totals: Totals) -> torch.Tensor:
    tokens.note("stream/divergence", tokens.need_measured())
    return tokens.need_measured().sum() * totals.per_token


def divergence(policy: torch.Tensor, teacher: torch.Tensor, alpha: float) -> torch.Tensor:
    """Of log-probabilities, n x V; the gradient is the policy's, as far as the tensors carry one."""
    if alpha == 1.0:
        return _kl(policy, teacher)
    if alpha == 0.0:
        return _kl(teacher, policy)
    mixture = torch.logaddexp(policy + math.log(1 - alpha), teacher + math.log(alpha))
    return alpha * _kl(teacher, mixture) + (1 - alpha) * _kl(policy, mixture)


def teacher_measure(policy: Policy, alpha: float, examples: Sequence[Example]) -> Measure:
    """Reads the examples' `told` conversations with the present weights."""
    told = [example.told for example in examples if example.told is not None]
    # A teacher with dropout of its own would be another one.
    with torch.no_grad(), anatomy.all_of_it(policy.model):
        hidden = policy.score(told).hidden
    head = policy.logits

    def measure(log_probs: torch.Tensor, where: slice) -> torch.Tensor:
        with torch.no_grad():
            teacher = F.log_softmax(head(hidden[where]), dim=-1)
        return divergence(log_probs, teacher, alpha)

    return measure


def _kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    return (p.exp() * (p - q)).sum(-1)
