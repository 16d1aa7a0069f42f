"""Two gradients side by side: their norms and their product, also where they are sharded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

Tensors = dict[torch.Tensor, torch.Tensor]
"""Something for each parameter."""


@dataclass(frozen=True)
class Gradients:
    """What there is to mix, or was mixed: norms before mixing."""

    exploration_norm: float
    imitation_norm: float
    product: float
    exploration_noise: float = 0.0
    """The variance of the estimate, all coordinates together, where that was measured."""
    imitation_noise: float = 0.0

    @property
    def cosine(self) -> float:
        both = self.exploration_norm * self.imitation_norm
        return self.product / both if both > 0 and math.isfinite(both) else 0.0

    def effective_ratio(self, mu: float) -> float:
        """|mu g_S| / |(1 - mu) g_R|: what the mix really is."""
        other = (1 - mu) * self.exploration_norm
        return mu * self.imitation_norm / other if other > 0 else math.inf


def between(explored: Tensors, imitated: Tensors, scale: float = 1.0) -> Gradients:
    product = total((explored[p] * s).sum() for p, s in imitated.items() if p in explored)
    return Gradients(norm_of(explored), scale * norm_of(imitated), scale * product)


def norm_of(tensors: Tensors) -> float:
    return math.sqrt(total((t * t).sum() for t in tensors.values()))


def total(parts: Any) -> float:
    """The sum of scalars; where tensors are sharded, over all shards, in one message."""
    from torch.distributed.tensor import DTensor

    terms = [part.double() for part in parts]
    if not terms:
        return 0.0
    if isinstance(terms[0], DTensor):
        return float(sum(terms[1:], start=terms[0]).full_tensor())
    return float(torch.stack(terms).sum())
