"""How log-probabilities move with mu: their derivative along z = d theta / d mu, token by token.

    log_probs_along(policy, z, conversations) -> d log pi / d mu of the chosen tokens, all in order

One number for each token, from forward passes alone: whatever weighs tokens afterwards (the advantages of
one utility or another) needs no gradient of its own, and each episode's part stays apart, which is where a
look has its error bar from.

In float32 by central differences of two passes, which cost two thirds of a forward and a backward pass and
are right to about a thousandth. Where the arithmetic is coarser, by forward-mode differentiation, which is
exact in any arithmetic and costs as much as a forward and a backward pass, or more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.autograd.forward_ad as forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from agents.conversation import Conversation
from agents.policy import Policy
from amft_mm.learning.gradients import Tensors, norm_of

MOVED = 1e-3
"""How far differences go, as a share of the weights' norm."""


@torch.no_grad()
def log_probs_along(
    policy: Policy, z: Tensors, conversations: Sequence[Conversation], temperature: float = 1.0
) -> torch.Tensor:
    policy.model.eval()
    if policy.dtype == torch.float32:
        return by_differences(policy, z, conversations, temperature)
    return by_forward_mode(policy, z, conversations, temperature)


@torch.no_grad()
def by_differences(
    policy: Policy, z: Tensors, conversations: Sequence[Conversation], temperature: float = 1.0
) -> torch.Tensor:
    size = norm_of(z)
    far = MOVED * norm_of({p: p for p in z}) / size if size > 0 else 0.0
    if not (far > 0 and math.isfinite(far)):
        return torch.zeros_like(policy.score(conversations, temperature=temperature).log_probs)
    found = []
    for step in (far, -far):
        with weights(policy, {p: p.add(d, alpha=step) for p, d in z.items()}):
            found.append(policy.score(conversations, temperature=temperature).log_probs.float())
    return (found[0] - found[1]) / (2 * far)


@torch.no_grad()
def by_forward_mode(
    policy: Policy, z: Tensors, conversations: Sequence[Conversation], temperature: float = 1.0
) -> torch.Tensor:
    # Of the ways to compute attention, one is made of parts that can be differentiated forward.
    with forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH):
        with weights(policy, {p: forward_ad.make_dual(p, d) for p, d in z.items()}):
            log_probs = policy.score(conversations, temperature=temperature).log_probs
        tangent = forward_ad.unpack_dual(log_probs).tangent
        return torch.zeros_like(log_probs) if tangent is None else tangent.float()


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
