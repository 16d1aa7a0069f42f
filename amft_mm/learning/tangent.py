"""How the weights move with mu: a derivative that is carried through AdamW's steps.

    tangent.follow(gradients, slopes)   after each update: g~ as AdamW got it, d g~ / d mu of each part
    tangent.z[part]                     d theta / d mu

A mix works on: what it adds to AdamW's moments moves the weights for many steps more. With the moments
after a step m, v, corrected for their beginning m^, v^, and d = d g~ / d mu (0 where mu is not learnt),

    dm     <- b1 dm + (1 - b1) d
    dv     <- b2 dv + 2 (1 - b2) g~ d
    dtheta <- (1 - lr decay) dtheta - lr [ (dm / (1 - b1^t)) / (sqrt(v^) + eps)
                                           - m^ (dv / (1 - b2^t)) / (2 sqrt(v^) (sqrt(v^) + eps)^2) ]

which is exact but for how other weights would have changed the gradients themselves. `curved` adds that of
imitation to d (amft_mm/learning/curvature.py); exploration's is left out. All three are multiplied by `rho`
before each step of training, so that

    z = sum over the steps so far of rho^age (d theta / d mu of that step)

A step of training may make several updates, by the same mu: `rho` comes before its first, the others are
followed as they are (`again`), and with rho = 0 the derivative of a whole step is left at its end.

rho = 1 never forgets, rho = 0 sees the last step alone, and between them effects fade over about
1 / (1 - rho) steps. A step in which mu is not learnt ages all of it as well. Kinds:

    curved         the above: three numbers for each weight (one where rho = 0 and a step is one update), and
                   in each update the gradient of its demonstrations once more
    exact          the same without how imitation's gradient changes with the weights
    last_step      z <- rho z + d theta' / d mu of the last update: one number for each weight. Leaves out
                   what a mix does through the moments later, most of what it does. In training the tiny
                   model on sums (horizon 0.9) its cosine with `exact` is 0.95 after 10 steps and 0.94 after
                   30, its size 0.29 and 0.22 of it; on other problems the cosine was as low as 0.5
    plain_descent  the same, as if a step were theta' = theta - lr g~: for ablations (cosine 0.46 there)

At the first step of a fresh optimizer Adam is a sign, and z is nearly 0 whatever the mix is worth: carry
the warm-up's state over before learning mu.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from agents.sharding import local_part
from amft_mm.learning.gradients import Tensors
from amft_mm.learning.optimization import Names
from envs.contract import one_of

KINDS = ("curved", "exact", "last_step", "plain_descent")
CARRIED = ("curved", "exact")
TOGETHER = 2**26
"""Weights that are worked on at once: bounds what is in memory meanwhile."""
SMALLEST_ROOT = 1e-20
"""Of v, where it is 0: m and dv are then 0 or nearly so, and what they make of it has to be as well."""


class Tangent:
    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        rho: float = 0.0,
        kind: str = "exact",
        *,
        several: bool = False,
    ) -> None:
        """`several`: steps may make more than one update."""
        if not 0 <= rho <= 1:
            raise ValueError(f"rho={rho} must be from 0 to 1 (method.horizon)")
        self._optimizer, self._rho = optimizer, rho
        self._plain = one_of("method.tangent", kind, KINDS) == "plain_descent"
        self._carries = kind in CARRIED and (rho > 0 or several)
        self.z: dict[str, Tensors] = {}
        self._moments: dict[str, tuple[Tensors, Tensors]] = {}

    @torch.no_grad()
    def follow(
        self, gradients: Tensors, slopes: dict[str, Tensors], *, again: bool = False
    ) -> None:
        """Takes the derivative over the update that the optimizer has just made on `gradients`, which is
        another one of the same step where `again`; `slopes` are used up."""
        rho = 1.0 if again else self._rho
        if rho == 0:
            self.z, self._moments = {}, {}
        for part, of_part in slopes.items():
            self._make_room(part, of_part)
        for group in self._optimizer.param_groups:
            for chunk in _chunks(group["params"], gradients, self._optimizer.state):
                made = _Step(chunk, gradients, self._optimizer.state, group)
                for part in self.z:
                    self._follow(part, made, slopes.get(part, {}), rho)
            self._age([p for p in group["params"] if p not in gradients], rho)

    def state_dict(self, names: Names) -> dict[str, Any]:
        """By the parameters' names."""

        def named(tensors: Tensors) -> dict[str, torch.Tensor]:
            return {names[p]: tensor for p, tensor in tensors.items()}

        return {
            "z": {part: named(z) for part, z in self.z.items()},
            "moments": {
                part: tuple(named(of) for of in both) for part, both in self._moments.items()
            },
        }

    def load_state_dict(self, state: dict[str, Any], names: Names) -> None:
        own = {name: parameter for parameter, name in names.items()}

        def found(tensors: dict[str, torch.Tensor]) -> Tensors:
            return {own[name]: tensor.to(own[name].device) for name, tensor in tensors.items()}

        self.z = {part: found(z) for part, z in state["z"].items()}
        self._moments = {
            part: (found(first), found(second))
            for part, (first, second) in state["moments"].items()
        }

    def _make_room(self, part: str, parameters: Tensors) -> None:
        z = self.z.setdefault(part, {})
        carried = self._moments.setdefault(part, ({}, {})) if self._carries else ()
        for tensors in (z, *carried):
            for parameter in parameters:
                if parameter not in tensors:
                    tensors[parameter] = torch.zeros_like(parameter)

    def _age(self, parameters: Sequence[torch.Tensor], rho: float) -> None:
        """Of what had no gradient, and was left alone by the optimizer."""
        if rho == 1:
            return
        for part, z in self.z.items():
            for tensors in (z, *self._moments.get(part, ())):
                for parameter in parameters:
                    if parameter in tensors:
                        tensors[parameter].mul_(rho)

    def _follow(self, part: str, made: _Step, slopes: Tensors, rho: float) -> None:
        parameters = [p for p in made.parameters if p in self.z[part]]
        learnt = [p for p in parameters if p in slopes]
        if not parameters:
            return
        if self._carries:
            dm, dv = self._moments[part]
            torch._foreach_mul_(_local(dm, parameters), rho * made.b1)
            torch._foreach_mul_(_local(dv, parameters), rho * made.b2)
            if learnt:
                torch._foreach_add_(_local(dm, learnt), _local(slopes, learnt), alpha=1 - made.b1)
                torch._foreach_addcmul_(
                    _local(dv, learnt),
                    _local(made.gradients, learnt),
                    _local(slopes, learnt),
                    2 * (1 - made.b2),
                )
            made.move(self.z[part], parameters, dm, dv, keep=rho * (1 - made.lr * made.decay))
            return
        torch._foreach_mul_(_local(self.z[part], parameters), rho)
        if learnt and self._plain:
            torch._foreach_add_(
                _local(self.z[part], learnt), _local(slopes, learnt), alpha=-made.lr
            )
        elif learnt:
            dm = {p: slopes[p] * (1 - made.b1) for p in learnt}
            dv = {p: slopes[p] * made.gradients[p] * (2 * (1 - made.b2)) for p in learnt}
            made.move(self.z[part], learnt, dm, dv, keep=1.0)


class _Step:
    """A step that AdamW has made of some parameters, as far as its derivative needs it."""

    def __init__(
        self,
        parameters: list[torch.Tensor],
        gradients: Tensors,
        state: dict[torch.Tensor, Any],
        group: dict[str, Any],
    ) -> None:
        self.parameters, self.gradients = parameters, gradients
        self.b1, self.b2 = group["betas"]
        self.lr, self.decay = float(group["lr"]), float(group["weight_decay"])
        steps = float(state[parameters[0]]["step"])
        self._left1, self._left2 = 1 - self.b1**steps, 1 - self.b2**steps
        m = [local_part(state[p]["exp_avg"]) for p in parameters]
        root = torch._foreach_div(
            [local_part(state[p]["exp_avg_sq"]) for p in parameters], self._left2
        )
        torch._foreach_sqrt_(root)
        bottom = torch._foreach_add(root, group["eps"])
        torch._foreach_clamp_min_(root, SMALLEST_ROOT)
        second = torch._foreach_div(m, root)
        torch._foreach_div_(second, bottom)
        torch._foreach_div_(second, bottom)
        self._bottom = dict(zip(parameters, bottom, strict=True))
        self._second = dict(zip(parameters, second, strict=True))

    def move(
        self, z: Tensors, parameters: list[torch.Tensor], dm: Tensors, dv: Tensors, *, keep: float
    ) -> None:
        """z <- keep z + what the moments' derivatives do in this step."""
        mine = _local(z, parameters)
        torch._foreach_mul_(mine, keep)
        torch._foreach_addcdiv_(
            mine, _local(dm, parameters), _local(self._bottom, parameters), -self.lr / self._left1
        )
        torch._foreach_addcmul_(
            mine,
            _local(dv, parameters),
            _local(self._second, parameters),
            self.lr / (2 * self._left1 * self._left2),
        )


def _chunks(
    parameters: Sequence[torch.Tensor], gradients: Tensors, state: dict[torch.Tensor, Any]
) -> Iterator[list[torch.Tensor]]:
    """Parameters that had a gradient, those that AdamW has moved equally often together."""
    by_count: dict[tuple[float, torch.device], list[torch.Tensor]] = {}
    for parameter in parameters:
        if parameter in gradients:
            key = float(state[parameter]["step"]), parameter.device
            by_count.setdefault(key, []).append(parameter)
    for together in by_count.values():
        chunk: list[torch.Tensor] = []
        for parameter in together:
            if chunk and sum(local_part(p).numel() for p in [*chunk, parameter]) > TOGETHER:
                yield chunk
                chunk = []
            chunk.append(parameter)
        yield chunk


def _local(tensors: Tensors, parameters: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [local_part(tensors[p]) for p in parameters]
