"""What AdamW is told in training and in pretraining alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

Names = Mapping[torch.Tensor, str]
"""Of parameters."""


def slope(step: int, steps: int, ramp: int, final: float) -> float:
    """The learning rate's shape: a linear ramp up, then half a cosine down to the share `final`."""
    if step < ramp:
        return step / ramp
    done = (step - ramp) / max(1, steps - ramp)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def decay_groups(parameters: Sequence[torch.Tensor], weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases and norms do not."""
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def moments(optimizer: torch.optim.Optimizer, names: Names) -> dict[str, dict[str, Any]]:
    """What an optimizer remembers of each parameter, by its name. Settings are the run's own."""
    return {names[parameter]: dict(own) for parameter, own in optimizer.state.items()}


def put_moments(
    optimizer: torch.optim.Optimizer, names: Names, state: Mapping[str, Mapping[str, Any]]
) -> None:
    optimizer.state.clear()
    for parameter, name in names.items():
        if name in state:
            optimizer.state[parameter] = {
                key: value.to(parameter.device) if value.ndim else value
                for key, value in state[name].items()
            }
