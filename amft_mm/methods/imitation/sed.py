"""sed (SED-SFT, arXiv 2602.07464): -log p + lambda 1[mass of the k likeliest tokens < tau] (p - 1/2)^2.

Where many tokens would do, p is held near a half instead of being driven to 1. tau is the mass below which
the lowest `lowest` of tokens lie, on demonstrations that are held out, when mixing begins
(Objectives.calibrate); the authors' script and text have 30 %, k = 2 and lambda = 1. A number for tau is
taken as it is.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals

NEEDS = ("top_mass",)


def loss(
    tokens: Tokens,
    totals: Totals,
    lam: float = 1.0,
    tau: float | None = None,
    k: int = 2,
    lowest: float = 0.3,
) -> torch.Tensor:
    if tau is None:
        raise ValueError("sed needs tau: a number, or the quantile that Objectives.calibrate finds")
    if lam < 0 or k < 1:
        raise ValueError(f"imitation: sed's lam={lam:g} must be from 0 up, and k={k} from 1 up")
    open_ended = (tokens.need_measured() < tau).to(tokens.log_probs.dtype)
    half = (tokens.log_probs.exp() - 0.5) ** 2
    tokens.note("sed/open_ended", open_ended)
    return (-tokens.log_probs + lam * open_ended * half).sum() * totals.per_token
