"""bridge (arXiv 2509.06948): an adapter that is worth what imitation adds to exploration alone.

The weights are theta + w, w of low rank: s B A on every projection. Beside them goes a rival,
theta^ + w, that only explores. With mu the share of imitation:

    theta   climbs  mu J_S(theta + w) + (1 - mu) J_R(theta + w)     the run's own step on a fixed mix
    theta^  climbs  J_R(theta^ + w)
    w       climbs  mu J_S(theta + w) + (1 - mu) [J_R(theta + w) - J_R(theta^ + w)]

From the paper's text; how fast w moves is left open there, and is `pace` times the learning rate here. Both
explore the same task instances, half of train.tasks, so that a step writes as many rollouts as any
other's. It holds a second model and its optimizer.

No adapter is put into the model: both sets of weights hold their sum with w, and the gradient of A and B
follows from that of the matrix that they are added to. Weight decay acts on the sum.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from agents.anatomy import lora_targets
from agents.policy import Policy
from amft_mm.learning.learner import Learner
from amft_mm.learning.mixed_step import MixedStep
from amft_mm.learning.optimization import decay_groups, set_lr
from envs.contract import whole_number


class Rival:
    """Asked for in this order, at every step:

    with rival.playing(): ...  the model is the rival; what is in .grad at the end moves the rival
    rival.explored()           .grad holds the model's own exploration gradient
    rival.imitated(mu, scale)  .grad holds the imitation gradient, which is mixed times `scale`
    rival.step()               after the model's own step
    """

    def __init__(
        self, policy: Policy, learner: Learner, rank: int = 8, pace: float = 10.0, seed: int = 0
    ) -> None:
        if not pace >= 0:
            raise ValueError(f"rival: pace={pace} must be 0 or above")
        whole_number("rival.rank", rank, 1, 10**4)
        if hasattr(policy.model, "peft_config"):
            raise ValueError(
                "method=bridge trains all weights, beside an adapter of its own: model.lora=null"
            )
        adapted = re.compile(lora_targets(policy.model))
        named = [(n, p) for n, p in policy.model.named_parameters() if p.requires_grad]
        self._matrices = [
            p for n, p in named if adapted.fullmatch(n.removesuffix(".weight")) and p.ndim == 2
        ]
        self._learner, self._pace = learner, pace
        random = torch.Generator().manual_seed(seed)
        self._a = [torch.randn(rank, p.shape[1], generator=random).to(p) for p in self._matrices]
        self._a = [a.mul_(1 / math.sqrt(a.shape[1])).requires_grad_() for a in self._a]
        self._b = [p.new_zeros(p.shape[0], rank).requires_grad_() for p in self._matrices]
        self._w = torch.optim.AdamW(self._a + self._b, weight_decay=0.0)
        self._gains = self._nothing()
        self._shadow: list[torch.Tensor] = []

    @property
    def begun(self) -> bool:
        return bool(self._shadow)

    def begin(self) -> None:
        """The rival is the model as it is now, with its optimizer's state."""
        own = self._learner
        self._shadow = [p.detach().clone().requires_grad_() for p in own.parameters]
        optimizer = torch.optim.AdamW(decay_groups(self._shadow, 0.0))
        optimizer.load_state_dict(copy.deepcopy(own.optimizer.state_dict()))
        self._shadow_step = MixedStep(optimizer, own.mixed.max_norm)

    @contextmanager
    def playing(self) -> Iterator[None]:
        self._swap()
        try:
            yield
        finally:
            self._swap()
        self._gains = [-gain for gain in self._projected()]
        for own, shadow in zip(self._learner.parameters, self._shadow, strict=True):
            shadow.grad, own.grad = own.grad, None
        set_lr(self._shadow_step.optimizer, self._learner.lr)
        self._shadow_step.take_exploration()
        self._shadow_step.mix(0.0, learn=False)
        self._shadow_step.step()

    def explored(self) -> None:
        self._gains = [own + gain for own, gain in zip(self._projected(), self._gains, strict=True)]

    def imitated(self, mu: float, scale: float = 1.0) -> None:
        self._gains = [
            mu * scale * own + (1 - mu) * gain
            for own, gain in zip(self._projected(), self._gains, strict=True)
        ]

    @torch.no_grad()
    def step(self) -> None:
        """Moves w, in both sets of weights. A step that is not finite is left out."""
        gains, self._gains = self._gains, self._nothing()
        if not all(bool(gain.isfinite().all()) for gain in gains):
            return
        before = [b @ a for a, b in zip(self._a, self._b, strict=True)]
        for parameter, gain in zip(self._a + self._b, gains, strict=True):
            parameter.grad = gain
        set_lr(self._w, self._pace * self._learner.lr)
        self._w.step()
        shadows = dict(zip(self._learner.parameters, self._shadow, strict=True))
        for matrix, a, b, old in zip(self._matrices, self._a, self._b, before, strict=True):
            moved = b @ a - old
            matrix.add_(moved)
            shadows[matrix].add_(moved)

    def _nothing(self) -> list[torch.Tensor]:
        return [torch.zeros_like(p) for p in self._a + self._b]

    def _swap(self) -> None:
        for own, shadow in zip(self._learner.parameters, self._shadow, strict=True):
            own.data, shadow.data = shadow.data, own.data

    @torch.no_grad()
    def _projected(self) -> list[torch.Tensor]:
        """The gradients of A and B that follow from those in .grad."""
        whole = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._matrices]
        return [b.T @ g for g, b in zip(whole, self._b, strict=True)] + [
            g @ a.T for g, a in zip(whole, self._a, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        return {
            "a": [a.detach() for a in self._a],
            "b": [b.detach() for b in self._b],
            "w": self._w.state_dict(),
            "shadow": [s.detach() for s in self._shadow],
            "optimizer": self._shadow_step.optimizer.state_dict(),
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.begin()
        for own, kept in ((self._a, "a"), (self._b, "b"), (self._shadow, "shadow")):
            for parameter, value in zip(own, state[kept], strict=True):
                parameter.copy_(value)
        self._w.load_state_dict(state["w"])
        self._shadow_step.optimizer.load_state_dict(state["optimizer"])
