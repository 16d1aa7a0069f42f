"""How noisy a gradient is, by how its halves differ."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from amft_mm.learning.gradients import norm_of


class Half:
    """The gradient h of the first `count` examples, until g, that of all n, is there.

    With k independent examples in h, the variance of g is |n h - k g|^2 / (k (n - k)) on average: of equal
    halves that of their difference. A single example tells nothing of it."""

    def __init__(self, parameters: Sequence[torch.Tensor], count: int) -> None:
        self._parameters, self.count = parameters, count
        self._first: dict[torch.Tensor, torch.Tensor] = {}

    def over(self) -> None:
        self._first = {p: p.grad.clone() for p in self._parameters if p.grad is not None}

    @torch.no_grad()
    def noise(self, k: float, n: float) -> float:
        """`k` and `n` are this process's, or all processes' where the gradients are."""
        if not k:
            return 0.0
        whole = {p: p.grad for p in self._parameters if p.grad is not None}
        apart = {
            p: n * self._first[p] - k * g if p in self._first else -k * g for p, g in whole.items()
        }
        return norm_of(apart) ** 2 / (k * (n - k))
