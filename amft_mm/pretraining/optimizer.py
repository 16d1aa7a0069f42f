"""What pretraining learns with: Muon for the layers' matrices, AdamW for everything else.

Muon makes every direction of a matrix's step equally long, and so learns rare things as fast as frequent
ones. It is told the learning rate in AdamW's measure. Embeddings, norms, the patches' first reading and
matrices too large to make it worth its time stay with AdamW.
"""

from __future__ import annotations

from typing import Any

import torch

from amft_mm.learning.optimization import decay_groups, set_lr

LARGEST = 512
"""Sides of a matrix for Muon: its work grows with the third power."""


LOWEST = 0.02


def plateau(step: int, steps: int, ramp: int, fall: int) -> float:
    """The learning rate's shape: up in `ramp` steps, level, and down in the last `fall`. Where it begins
    to fall may be decided while a run goes on."""
    if step < ramp:
        return step / ramp
    left = steps - step
    return 1.0 if left >= fall else LOWEST + (1 - LOWEST) * left / fall


class Optimizer:
    """Both, as one: the same learning rate in units of each."""

    def __init__(self, module: torch.nn.Module, weight_decay: float, muon_lr: float) -> None:
        """`muon_lr`: Muon's learning rate in AdamW's; 0 leaves all to AdamW."""
        mine: list[torch.nn.Parameter] = []
        others: list[torch.nn.Parameter] = []
        for name, parameter in module.named_parameters():
            inner = parameter.ndim == 2 and max(parameter.shape) <= LARGEST
            muon = muon_lr > 0 and inner and "embed" not in name and "head" not in name
            (mine if muon else others).append(parameter)
        self._muon_lr = muon_lr
        adamw = torch.optim.AdamW(decay_groups(others, weight_decay), betas=(0.9, 0.98))
        self._parts: list[torch.optim.Optimizer] = [adamw]
        if mine:
            self._parts.append(
                torch.optim.Muon(mine, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
            )

    def step(self, lr: float) -> None:
        """One step, after which the gradients are 0."""
        for part, share in zip(self._parts, (1.0, self._muon_lr), strict=False):
            set_lr(part, lr * share)
            part.step()
            part.zero_grad(set_to_none=False)

    def state_dict(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        for part, its in zip(self._parts, state, strict=True):
            part.load_state_dict(its)
