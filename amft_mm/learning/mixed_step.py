"""One optimizer step on a mix of two gradients, and how its result moves with the mix.

    mixed = MixedStep(optimizer, max_norm=1.0)
    exploration_loss.backward(); mixed.take_exploration()
    imitation_loss.backward();   mixed.mix(mu)
    mixed.step()                       clips, steps, and leaves z = d theta' / d mu
    mixed.step(again=True)             another update of the same step of training
    mixed.along()                      <gradient that is in .grad now, z>

With d = g_S - g_R, g = (1 - mu) g_R + mu g_S, N = |g| and the clipping threshold C:

    d g~ / d mu = d                              if N <= C
                = (C / N) (d - g (g . d) / N^2)  otherwise

and amft_mm/learning/tangent.py carries that through AdamW's updates, over the horizon `rho`. Weights that mu
has moved change g_S as well: with that (`mix(mu, along=H_S z)`, amft_mm/learning/curvature.py) d = g_S +
mu H_S z - g_R. Everything is done in place: one extra copy of the trainable parameters while two gradients
are held, and what the tangent holds.

A step may be made of several parts, each with a mu of its own: every `mix(mu, part=NAME)` adds to the
step's gradient, and has its own d and z (one copy more of each).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from amft_mm.learning.gradients import Gradients, Tensors, between, norm_of, total
from amft_mm.learning.optimization import Names
from amft_mm.learning.tangent import Tangent

WHOLE = "whole"
"""The part that a step is made of where there is only one."""


@dataclass(frozen=True)
class StepReport:
    norm: float
    """Of the mixed gradient, before clipping."""
    finite: bool
    """False where the step was left out, since its gradient was not finite."""


class MixedStep:
    """Around a torch.optim.AdamW; see the module's docstring."""

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        max_norm: float | None = None,
        rho: float = 0.0,
        *,
        tangent: str = "exact",
        several: bool = False,
    ) -> None:
        """`several`: steps of training may make more than one update."""
        if type(optimizer) is not torch.optim.AdamW:
            raise TypeError(
                f"the derivative of a step is known for torch.optim.AdamW, not for "
                f"{type(optimizer).__name__}"
            )
        for group in optimizer.param_groups:
            if group["amsgrad"] or group["maximize"]:
                raise ValueError("AdamW with amsgrad or maximize has another derivative")
        if max_norm is not None and not max_norm > 0:
            raise ValueError(f"max_norm={max_norm} must be above 0, or None for no clipping")
        self.optimizer, self.max_norm = optimizer, max_norm
        self.tangent = Tangent(optimizer, rho, tangent, several=several)
        self._followed = False
        """Whether an update of the present step of training was."""
        self.exploration: Tensors = {}
        """What `take_exploration` took, until it is mixed."""
        self._mixed: Tensors = {}
        self._differences: dict[str, Tensors] = {}

    @property
    def z(self) -> dict[str, Tensors]:
        """d theta / d mu of each part."""
        return self.tangent.z

    def take_exploration(self) -> None:
        """The gradients that are in .grad are those of exploration; .grad is empty afterwards."""
        self.exploration = self._taken()

    @torch.no_grad()
    def along(self, part: str = WHOLE, gradients: Tensors | None = None) -> float:
        """The product of a part's z with these gradients, or with those that are in .grad now."""
        z = self.z.get(part, {})
        if gradients is None:
            gradients = {p: p.grad for p in self._parameters() if p.grad is not None}
        return total(
            (gradients[parameter] * z[parameter]).sum()
            for parameter in self._parameters()
            if parameter in gradients and parameter in z
        )

    def z_norm(self, part: str = WHOLE) -> float:
        return norm_of(self.z.get(part, {}))

    def exploration_norm(self) -> float:
        """Of the gradients that `take_exploration` holds."""
        return norm_of(self.exploration)

    @torch.no_grad()
    def gradients(self, scale: float = 1.0) -> Gradients:
        """What there is to mix: exploration as it was taken, imitation in .grad, times `scale`."""
        imitated = {p: p.grad for p in self._parameters() if p.grad is not None}
        return between(self.exploration, imitated, scale)

    @torch.no_grad()
    def mix(
        self,
        mu: float,
        scale: float = 1.0,
        *,
        learn: bool = True,
        part: str = WHOLE,
        weight: float = 1.0,
        along: Tensors | None = None,
    ) -> Gradients:
        """Adds weight ((1 - mu) g_R + mu scale g_S) to the step's gradient, with g_S in .grad, which is
        empty afterwards. `scale` equalises the norms. Without `learn`, no z. `along`: how g_S changes along
        z, and its scale; both are taken as given where it says nothing."""
        explored, imitated, along = self.exploration, self._taken(), along or {}
        self.exploration = {}
        found = between(explored, imitated)
        learn = learn and math.isfinite(found.exploration_norm + found.imitation_norm)
        differences = self._differences.setdefault(part, {}) if learn else {}
        for parameter in self._parameters():
            r, s = explored.pop(parameter, None), imitated.pop(parameter, None)
            if r is None and s is None:
                continue
            r = torch.zeros_like(parameter) if r is None else r
            s = torch.zeros_like(parameter) if s is None else s
            if mu == 0.0:  # to the bit, and whatever the other one holds
                mixed = r.clone() if learn else r
                difference = r.neg_().add_(s, alpha=scale) if learn else r
            else:
                mixed = s.mul_(scale)
                difference = r.neg_().add_(s)
                if mu != 1.0:
                    mixed.sub_(difference, alpha=1 - mu)
            if weight != 1.0:
                mixed.mul_(weight)
            if learn and parameter in along:
                difference.add_(along[parameter], alpha=mu * scale)
            before = self._mixed.get(parameter)
            self._mixed[parameter] = mixed if before is None else before.add_(mixed)
            if learn:
                differences[parameter] = difference if weight == 1.0 else difference.mul_(weight)
        return found

    @torch.no_grad()
    def step(self, *, again: bool = False) -> StepReport:
        """One update on what was mixed, the first of a step of training or one more (`again`). Where that is
        not finite, everything stays as it was."""
        self._followed = again and self._followed
        norm = norm_of(self._mixed)
        mixed, self._mixed = self._mixed, {}
        differences, self._differences = self._differences, {}
        if not math.isfinite(norm):
            return StepReport(norm, finite=False)
        if self.max_norm is not None and norm > self.max_norm:
            self._clip(mixed, differences, norm)
        for parameter, gradient in mixed.items():
            parameter.grad = gradient
        self.optimizer.step()
        self.tangent.follow(mixed, differences, again=self._followed)
        self._followed = True
        for parameter in mixed:
            parameter.grad = None
        return StepReport(norm, finite=True)

    def state_dict(self, names: Names) -> dict[str, Any]:
        return self.tangent.state_dict(names)

    def load_state_dict(self, state: dict[str, Any], names: Names) -> None:
        self.tangent.load_state_dict(state, names)

    def _parameters(self) -> Iterator[torch.Tensor]:
        for group in self.optimizer.param_groups:
            yield from group["params"]

    def _taken(self) -> Tensors:
        """What is in .grad, which is empty afterwards."""
        found: Tensors = {}
        for parameter in self._parameters():
            if parameter.grad is not None:
                found[parameter], parameter.grad = parameter.grad, None
        return found

    def _clip(self, mixed: Tensors, differences: dict[str, Tensors], norm: float) -> None:
        """Clips what was mixed to `max_norm`, and turns each d into d g~ / d mu."""
        assert self.max_norm is not None
        factor = self.max_norm / norm
        for of_part in differences.values():
            inner = total((mixed[p] * d).sum() for p, d in of_part.items())
            for parameter, d in of_part.items():
                d.sub_(mixed[parameter], alpha=inner / norm**2).mul_(factor)
        for gradient in mixed.values():
            gradient.mul_(factor)
