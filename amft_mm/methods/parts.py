"""What has a mu of its own: a whole step, or each of the environments that it is made of.

`mixed_parts(config)` gives one part, or with `method.mu_per_env=true` one for each environment: each with
its own balance, and with its own derivative in the optimizer's step (amft_mm/learning/mixed_step.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from amft_mm.config.settings import options_of, parts_of
from amft_mm.learning.mixed_step import WHOLE
from amft_mm.methods.balance import Balance, balance


@dataclass
class Scales:
    """The usual size of each gradient, so that mu means the same whatever losses are mixed."""

    keep: float = 0.9
    exploration: float | None = None
    imitation: float | None = None

    def update(self, exploration_norm: float, imitation_norm: float) -> float:
        """What imitation is to be multiplied by to be as large as exploration."""
        self.exploration = self._mean(self.exploration, exploration_norm)
        self.imitation = self._mean(self.imitation, imitation_norm)
        if not self.exploration or not self.imitation:
            return 1.0
        return self.exploration / self.imitation

    def _mean(self, before: float | None, now: float) -> float | None:
        if not (math.isfinite(now) and now > 0):
            return before
        return now if before is None else self.keep * before + (1 - self.keep) * now


@dataclass
class MixedPart:
    name: str
    weight: float
    """Its share of the step's gradient."""
    only: str | None
    """The environment; None is all of them."""
    balance: Balance
    scales: Scales

    def explores(self, number: int) -> bool:
        return self.balance.learns or self.balance.mu(number) < 1.0

    def state_dict(self) -> dict[str, Any]:
        return {"balance": self.balance.state_dict(), "scales": vars(self.scales)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.balance.load_state_dict(state["balance"])
        self.scales = Scales(**state["scales"])


def mixed_parts(config: DictConfig) -> list[MixedPart]:
    def part(name: str, weight: float, only: str | None) -> MixedPart:
        settings = config.method.balance
        made = balance(settings.name, config.train.steps, options_of(settings))
        return MixedPart(name, weight, only, made, Scales())

    if not config.method.mu_per_env:
        return [part(WHOLE, 1.0, None)]
    return [part(env.name, env.share, env.name) for env in parts_of(config.env)]


def together(parts: list[MixedPart], figures: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of each part by name, and means over them; those of a single part as they are."""
    if len(parts) == 1:
        return dict(figures[0])
    row: dict[str, Any] = {}
    for part, own in zip(parts, figures, strict=True):
        row |= {f"{name}/{part.name}": value for name, value in own.items()}
    for name in figures[0]:
        values = [own[name] for own in figures if own.get(name) is not None]
        if name == "tokens/demo":
            row[name] = sum(values)
        elif len(values) == len(parts):
            row[name] = sum(part.weight * v for part, v in zip(parts, values, strict=True))
    return row
