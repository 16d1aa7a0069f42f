"""One optimizer step on a mix of two gradients, and how its result moves with the mix.

    mixed = MixedStep(optimizer, max_norm=1.0)
    exploration_loss.backward(); mixed.take_exploration()
    imitation_loss.backward()
    report = mixed.step(mu)            clips, steps, and leaves z = d theta' / d mu
    mixed.along()                      <gradient that is in .grad now, z>

With d = g_S - g_R, g = (1 - mu) g_R + mu g_S, N = |g| and the clipping threshold C:

    d g~ / d mu = d                              if N <= C
                = (C / N) (d - g (g . d) / N^2)  otherwise
    d theta' / d g~ = -lr [ (1 - b1) / ((1 - b1^t) (sqrt(v^) + eps))
                            - m^ (1 - b2) g~ / ((1 - b2^t) sqrt(v^) (sqrt(v^) + eps)^2) ]

for AdamW, elementwise; decoupled weight decay drops out. Over several steps z <- rho z + the above: a
longer view without Hessians. Everything is done in place: one extra copy of the trainable parameters
while two gradients are held, and one that holds z.

At the first step of a fresh optimizer Adam is a sign, and the derivative is nearly 0 whatever the mix
is worth: carry the warm-up's state over before learning mu.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class StepReport:
    """What a step was made of; norms are those before mixing and clipping."""

    exploration_norm: float
    imitation_norm: float
    cosine: float
    norm: float
    """Of the mixed gradient, before clipping."""
    finite: bool
    """False where the step was left out, since a gradient was not finite."""

    def effective_ratio(self, mu: float) -> float:
        """|mu g_S| / |(1 - mu) g_R|: what the mix really is."""
        other = (1 - mu) * self.exploration_norm
        return mu * self.imitation_norm / other if other > 0 else math.inf


class MixedStep:
    """Around a torch.optim.AdamW; see the module's docstring."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, max_norm: float | None = None, rho: float = 0.0
    ) -> None:
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
        if not 0 <= rho < 1:
            raise ValueError(f"rho={rho} must be from 0 up to, but not, 1")
        self.optimizer, self.max_norm, self.rho = optimizer, max_norm, rho
        self._exploration: dict[torch.Tensor, torch.Tensor] = {}
        self.z: dict[torch.Tensor, torch.Tensor] = {}

    def take_exploration(self) -> None:
        """The gradients that are in .grad are those of exploration; .grad is empty afterwards."""
        self._exploration = {}
        for parameter, _ in self._parameters():
            if parameter.grad is not None:
                self._exploration[parameter] = parameter.grad
                parameter.grad = None

    @torch.no_grad()
    def along(self) -> float:
        """The product of z with the gradients that are in .grad now."""
        return total(
            (parameter.grad * self.z[parameter]).sum()
            for parameter, _ in self._parameters()
            if parameter.grad is not None and parameter in self.z
        )

    def z_norm(self) -> float:
        return math.sqrt(total((z * z).sum() for z in self.z.values()))

    def exploration_norm(self) -> float:
        """Of the gradients that `take_exploration` holds."""
        return math.sqrt(total((g * g).sum() for g in self._exploration.values()))

    @torch.no_grad()
    def step(self, mu: float, scale: float = 1.0, *, learn: bool = True) -> StepReport:
        """One step on (1 - mu) g_R + mu scale g_S, with g_S in .grad. `scale` equalises the norms; it
        is taken as given. Without `learn`, z is not made."""
        held: dict[torch.Tensor, torch.Tensor] = {}  # g_R, then d, then dg~/dmu, then dtheta'/dmu
        for parameter, _ in self._parameters():
            other = self._exploration.pop(parameter, None)
            if parameter.grad is None and other is None:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            held[parameter] = torch.zeros_like(parameter) if other is None else other
        report = self._compare(held, mu, scale)
        if not report.finite:
            for parameter, _ in self._parameters():
                parameter.grad = None
            return report
        for parameter, gradient in held.items():
            imitation = parameter.grad
            assert imitation is not None
            if mu == 0.0:  # to the bit, and whatever the other one holds
                gradient_now = gradient.clone() if learn else gradient
                held[parameter] = (
                    gradient.neg_().add_(imitation, alpha=scale) if learn else gradient
                )
                parameter.grad = gradient_now
                continue
            imitation.mul_(scale)
            gradient.neg_().add_(imitation)  # d
            if mu != 1.0:
                imitation.sub_(gradient, alpha=1 - mu)
        self._clip(held, report.norm, learn)
        self.optimizer.step()
        if learn:
            self._differentiate(held)
        for parameter in held:
            parameter.grad = None
        return report

    def state_dict(self) -> dict[str, Any]:
        order = {parameter: i for i, (parameter, _) in enumerate(self._parameters())}
        return {"z": {order[parameter]: value for parameter, value in self.z.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        order = [parameter for parameter, _ in self._parameters()]
        self.z = {order[i]: value.to(order[i].device) for i, value in state["z"].items()}

    def _parameters(self) -> Iterator[tuple[torch.Tensor, dict[str, Any]]]:
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                yield parameter, group

    def _compare(
        self, held: dict[torch.Tensor, torch.Tensor], mu: float, scale: float
    ) -> StepReport:
        pairs = [(held[p], p.grad) for p in held]
        rr = total((r * r).sum() for r, _ in pairs)
        ss = total((s * s).sum() for _, s in pairs if s is not None)
        rs = total((r * s).sum() for r, s in pairs if s is not None)
        a, b = 1 - mu, mu * scale
        # A gradient that takes no part in the mix may be anything; its own figures then say so.
        parts = [
            a * a * rr if a else 0.0,
            b * b * ss if b else 0.0,
            2 * a * b * rs if a and b else 0.0,
        ]
        square = sum(parts)
        norm = math.sqrt(max(square, 0.0)) if math.isfinite(square) else square
        both = math.sqrt(rr * ss) if rr > 0 and ss > 0 and math.isfinite(rr * ss) else 0.0
        return StepReport(
            math.sqrt(rr) if rr >= 0 else rr,
            math.sqrt(ss) if ss >= 0 else ss,
            rs / both if both else 0.0,
            norm,
            math.isfinite(norm),
        )

    def _clip(self, held: dict[torch.Tensor, torch.Tensor], norm: float, learn: bool) -> None:
        """Clips .grad to `max_norm` and turns d into d g~ / d mu."""
        if self.max_norm is None or norm <= self.max_norm:
            return
        factor = self.max_norm / norm
        inner = 0.0
        if learn:
            inner = total((p.grad * d).sum() for p, d in held.items() if p.grad is not None)
        for parameter, d in held.items():
            assert parameter.grad is not None
            if learn:
                d.sub_(parameter.grad, alpha=inner / norm**2).mul_(factor)
            parameter.grad.mul_(factor)

    def _differentiate(self, held: dict[torch.Tensor, torch.Tensor]) -> None:
        """Turns d g~ / d mu into d theta' / d mu, and adds it to z."""
        for parameter, group in self._parameters():
            if parameter not in held:
                continue
            d, gradient = held[parameter], parameter.grad
            assert gradient is not None
            state = self.optimizer.state[parameter]
            b1, b2 = group["betas"]
            steps = float(state["step"])
            left1, left2 = 1 - b1**steps, 1 - b2**steps
            root = (state["exp_avg_sq"] / left2).sqrt_()
            bottom = root + group["eps"]
            # Where v is 0 so are m and g~: the second term is 0 there.
            second = state["exp_avg"] * gradient
            second.mul_((1 - b2) / (left1 * left2))
            second.div_(root.clamp_(min=torch.finfo(root.dtype).tiny)).div_(bottom).div_(bottom)
            factor = bottom.reciprocal_().mul_((1 - b1) / left1).sub_(second)
            d.mul_(factor).mul_(-float(group["lr"]))
            if self.rho and parameter in self.z:
                self.z[parameter].mul_(self.rho).add_(d)
            else:
                self.z[parameter] = d


def total(parts: Any) -> float:
    """The sum of scalars, over all shards where tensors are sharded."""
    from torch.distributed.tensor import DTensor

    whole = [p.full_tensor() if isinstance(p, DTensor) else p for p in parts]
    if not whole:
        return 0.0
    return float(torch.stack([p.double() for p in whole]).sum())
