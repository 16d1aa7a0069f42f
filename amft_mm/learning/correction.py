"""The engine's probabilities are not quite the learner's: what a token counts for that.

k = pi_old / pi_engine, with pi_old the learner's own probability under the weights that sampled:

    none      nothing is corrected: r = pi / pi_engine
    token     min(k, cap)                                   truncated importance sampling
    sequence  min(product of a conversation's k, cap)       the same for whole conversations
    mask      k from `low` to `high`, else 0                IcePop (arXiv 2510.18855)

With any but `none`, r = pi / pi_old, so that clipping sees what updates did and not the engine's error.
Weights carry no gradient; tokens that an expert wrote count 1. Caps of 2, and of 0.5 and 5, are usual.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from amft_mm.learning.tokens import LARGEST_LOG_RATIO, Tokens
from envs.contract import one_of

KINDS = ("none", "token", "sequence", "mask")

Correction = Callable[[Tokens, torch.Tensor], torch.Tensor]
"""From tokens and their log k to what each counts."""


def correction(
    name: str, cap: float = 2.0, low: float = 0.5, high: float = 5.0
) -> Correction | None:
    one_of("method.correction.name", name, KINDS)
    if not (cap > 0 and 0 < low < high):
        raise ValueError(
            f"correction: cap={cap} must be above 0, and low={low} between 0 and high={high}"
        )
    if name == "mask":
        return partial(_masked, low, high)
    return None if name == "none" else partial(_truncated, cap, name == "sequence")


def _truncated(cap: float, whole: bool, tokens: Tokens, log_k: torch.Tensor) -> torch.Tensor:
    if whole:
        log_k = tokens.spread(tokens.sums(log_k))
    k = log_k.clamp(max=LARGEST_LOG_RATIO).exp()
    tokens.note("rollout/ratio_cut", k > cap)
    return k.clamp(max=cap)


def _masked(low: float, high: float, tokens: Tokens, log_k: torch.Tensor) -> torch.Tensor:
    k = log_k.clamp(max=LARGEST_LOG_RATIO).exp()
    outside = (k < low) | (k > high)
    tokens.note("rollout/ratio_cut", outside)
    return torch.where(outside, 0.0, k)
