"""How log-probabilities move with mu: their derivative along z = d theta / d mu, token by token.

    log_probs_along(policy, z, conversations) -> d log pi / d mu of the chosen tokens, all in order

One number for each token, from forward passes alone: whatever weighs tokens afterwards (the advantages of
one utility or another) needs no gradient of its own, and each episode's part stays apart, which is where a
look has its error bar from.

In float32 by the difference to weights a little further along z: one pass, where the log-probabilities of
the weights as they are come from the pass that the gradient was taken by. It sees some curvature, which
grows with the step, and rounding, which falls with it. With a step of 5e-5 of the weights' norm it is right
to about 1 % in training the tiny model on sums, by curvature, which is 0.01 standard errors of a look there;
as good as a difference to both sides at 1e-3. Along a z that is noise it is right to 2 %, by rounding, which
is no bias. Where the arithmetic is coarser, by forward-mode differentiation, which is exact in any arithmetic
and costs as much as a forward and a backward pass, or more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from agents.conversation import Conversation
from agents.policy import Policy, Scores
from amft_mm.learning.gradients import Tensors, norm_of

MOVED = 5e-5
"""How far differences go, as a share of the weights' norm."""


class JustScored:
    """The log-probabilities that the last passes computed, by conversation: known while no weight has been
    changed, and where nothing is dropped out while training."""

    def __init__(self, policy: Policy, parameters: Sequence[torch.Tensor]) -> None:
        self._parameters, self._sure = parameters, not drops_out(policy.model)
        self._at: tuple[Any, ...] = ()
        self._found: dict[int, tuple[Conversation, torch.Tensor]] = {}

    def note(
        self, conversations: Sequence[Conversation], scores: Scores, temperature: float
    ) -> None:
        if not self._sure:
            return
        if self._at != (now := self._now(temperature)):
            self._at, self._found = now, {}
        own = scores.log_probs.detach().split(scores.lengths)
        for conversation, log_probs in zip(conversations, own, strict=True):
            self._found[id(conversation)] = conversation, log_probs

    def of(self, conversation: Conversation, temperature: float) -> torch.Tensor | None:
        if self._at != self._now(temperature):
            self._found = {}
        return self._found.get(id(conversation), (None, None))[1]

    def _now(self, temperature: float) -> tuple[Any, ...]:
        return temperature, *(p._version for p in self._parameters)


def drops_out(model: torch.nn.Module) -> bool:
    return any(
        (isinstance(module, torch.nn.Dropout) and module.p > 0)
        or getattr(module, "attention_dropout", 0.0) > 0
        for module in model.modules()
    )


@torch.no_grad()
def log_probs_along(
    policy: Policy,
    z: Tensors,
    conversations: Sequence[Conversation],
    temperature: float = 1.0,
    here: torch.Tensor | None = None,
) -> torch.Tensor:
    """`here`: the log-probabilities as they are, where they are known."""
    policy.model.eval()
    if policy.dtype == torch.float32:
        return by_differences(policy, z, conversations, temperature, here)
    return by_forward_mode(policy, z, conversations, temperature)


@torch.no_grad()
def reach(z: Tensors) -> float:
    """How many z a difference goes; 0 where z leads nowhere."""
    size = norm_of(z)
    far = MOVED * norm_of({p: p for p in z}) / size if size > 0 else 0.0
    return far if far > 0 and math.isfinite(far) else 0.0


@torch.no_grad()
def by_differences(
    policy: Policy,
    z: Tensors,
    conversations: Sequence[Conversation],
    temperature: float = 1.0,
    here: torch.Tensor | None = None,
) -> torch.Tensor:
    if here is None:
        here = policy.score(conversations, temperature=temperature).log_probs
    far = reach(z)
    if not far:
        return torch.zeros_like(here)
    with weights(policy, {p: p.add(d, alpha=far) for p, d in z.items()}):
        there = policy.score(conversations, temperature=temperature).log_probs
    return (there.float() - here.float()) / far


@torch.no_grad()
def by_forward_mode(
    policy: Policy, z: Tensors, conversations: Sequence[Conversation], temperature: float = 1.0
) -> torch.Tensor:
    # Of the ways to compute attention, and a mixture's experts, one each is made of parts that can be
    # differentiated forward.
    model = policy.plain_model
    with forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH), one_expert_at_a_time(model):
        with weights(policy, {p: forward_ad.make_dual(p, d) for p, d in z.items()}):
            log_probs = policy.score(conversations, temperature=temperature).log_probs
        tangent = forward_ad.unpack_dual(log_probs).tangent
        return torch.zeros_like(log_probs) if tangent is None else tangent.float()


@contextmanager
def one_expert_at_a_time(model: Any) -> Iterator[None]:
    usual = getattr(model.config, "_experts_implementation", None)
    if usual in (None, "eager"):
        yield
        return
    model.set_experts_implementation("eager")
    try:
        yield
    finally:
        model.set_experts_implementation(usual)


@contextmanager
def weights(policy: Policy, others: Tensors) -> Iterator[None]:
    """The model with other tensors in place of its own parameters, which come back untouched."""
    places = [
        (module, name, parameter)
        for module in policy.model.modules()
        for name, parameter in module._parameters.items()
        if parameter is not None and parameter in others
    ]
    try:
        for module, name, parameter in places:
            module._parameters[name] = others[parameter]
        yield
    finally:
        for module, name, parameter in places:
            module._parameters[name] = parameter
