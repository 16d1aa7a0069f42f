"""lco (arXiv 2603.00963): moves the chosen token's logit towards z_old + A / beta, a mean over tokens.

    mse       beta / 2 (log r - A / beta)^2
    log_cosh  beta log cosh(log r - A / beta)
    kl        beta KL(p* || pi), p* = softmax of the old logits with the chosen one moved

Own reading: the paper's exact form was not at hand. A logit by itself is not determined, so that mse and
log_cosh compare log-probabilities; on policy the gradient of mse is the policy gradient. Only the chosen
token tells p* from the old distribution, so the KL is one of two outcomes: this token or another.
"""

from __future__ import annotations

import math

import torch

from amft_mm.learning.tokens import Tokens, Totals, token_mean
from amft_mm.methods.exploration.clipped import advantages_of
from envs.contract import one_of

KINDS = ("mse", "log_cosh", "kl")


def loss(tokens: Tokens, totals: Totals, beta: float = 1.0, kind: str = "mse") -> torch.Tensor:
    one_of("method.exploration.kind", kind, KINDS)
    if not beta > 0:
        raise ValueError(f"lco: beta={beta} must be above 0")
    aim, log_r = advantages_of(tokens) / beta, tokens.log_ratios
    if kind == "mse":
        terms = 0.5 * (log_r - aim) ** 2
    elif kind == "log_cosh":
        apart = (log_r - aim).abs()
        terms = apart + torch.nn.functional.softplus(-2 * apart) - math.log(2)
    else:
        terms = _two_outcomes(tokens.log_probs, (tokens.log_probs - log_r).detach(), aim)
    return beta * token_mean(terms, tokens, totals)


def _two_outcomes(log_probs: torch.Tensor, old: torch.Tensor, aim: torch.Tensor) -> torch.Tensor:
    """KL(p* || pi) where p* and pi differ from their old selves in one token alone."""
    p, before = _inside(log_probs.exp()), _inside(old.exp())
    moved = torch.sigmoid(before.log() - (1 - before).log() + aim)
    target = _inside(moved)
    return target * (target / p).log() + (1 - target) * ((1 - target) / (1 - p)).log()


def _inside(p: torch.Tensor) -> torch.Tensor:
    return p.clamp(1e-6, 1 - 1e-6)
