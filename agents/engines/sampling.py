"""Choosing tokens: log-probabilities at the sampling temperature, and under the sampling distribution."""

from __future__ import annotations

import torch

from agents.engines.base import Sampling


def choose(
    logits: torch.Tensor, uniforms: torch.Tensor, sampling: Sampling, banned: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One token for each row of `logits` (R x V): ids, log-probs at the temperature with nothing left out,
    log-probs of the distribution that was sampled from.

    `uniforms` (R) is uniform in [0, 1): the token is where the cumulated distribution passes it, so it
    depends on its own row alone. Banned tokens are never chosen.
    """
    logits = logits.float()
    if sampling.learnt_at != 1.0:
        logits = logits / sampling.learnt_at
    whole = torch.log_softmax(logits, dim=-1)
    allowed = logits.index_fill(-1, banned, -torch.inf)
    if sampling.temperature == 0:
        ids = allowed.argmax(-1)
        return ids, _at(whole, ids), torch.zeros_like(uniforms, dtype=whole.dtype)
    log_probs = torch.log_softmax(truncated(allowed, sampling), dim=-1)
    cumulated = log_probs.double().exp().cumsum(-1)
    # The last sum is 1 but for rounding; scaled, no uniforms can fall beyond it.
    ids = torch.searchsorted(cumulated, (uniforms.double() * cumulated[:, -1])[:, None], right=True)
    ids = ids[:, 0].clamp(max=logits.shape[-1] - 1)
    return ids, _at(whole, ids), _at(log_probs, ids)


def truncated(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Only the `top_k` likeliest, then the fewest that hold `top_p` of what is left."""
    if 0 < sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if sampling.top_p < 1:
        ordered, places = logits.sort(dim=-1, descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        ordered = ordered.masked_fill(before >= sampling.top_p, -torch.inf)
        logits = torch.full_like(logits, -torch.inf).scatter(-1, places, ordered)
    return logits


def _at(table: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    return table.gather(-1, ids[:, None])[:, 0]
