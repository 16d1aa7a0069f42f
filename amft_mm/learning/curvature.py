"""How imitation's gradient changes where the weights move with mu: H_S z, by a difference of gradients.

    gradient_along(learner, part, examples, objective)   -> H_S z for each weight that has both

`.grad` holds the gradient of the same examples, and holds it afterwards; the weights come back to the bit.
Their gradient is taken once more, a little further along z. Demonstrations that are known by heart have a
small gradient and a steep one: what exploration moves, the next gradient of imitation draws back, the more
the more it is scaled up to meet exploration's (`method.balanced`). A derivative by mu that leaves this out
goes on adding up what has long been drawn back.

Where that scale is the usual size of both gradients, it moves as well: what makes imitation's smaller makes
what it is multiplied by larger (`growth`, and `rescale` by what `Scales.follow` made of it).

Of exploration the like is left out: its gradient is a sample, and so would be its change.

The step is that of amft_mm/learning/directional.py: on the tiny model the difference is right to 5 % along
the signs of a gradient, where curvature changes fastest, and to 0.5 % along noise. It needs float32: in
bfloat16, where gradients themselves are right to 1 %, it is rounding for the most part, and worse than
nothing. There gradients are taken as given, and where the model has dropout, which the two would have
of two masks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from amft_mm.learning.directional import drops_out, reach
from amft_mm.learning.example import Example
from amft_mm.learning.gradients import Tensors, norm_of, total
from amft_mm.learning.objective import Objective

if TYPE_CHECKING:
    from amft_mm.learning.learner import Learner


def gradient_along(
    learner: Learner, part: str, examples: Sequence[Example], objective: Objective
) -> Tensors:
    """Of all processes; asked for in all at once."""
    z = learner.mixed.z.get(part, {})
    if learner.policy.dtype != torch.float32 or drops_out(learner.policy.model):
        return {}
    if not (far := reach(z)):
        return {}
    here = {p: p.grad for p in learner.parameters}
    kept = {p: p.detach().clone() for p in z}
    try:
        with torch.no_grad():
            for parameter, along in z.items():
                parameter.add_(along, alpha=far)
        for parameter in learner.parameters:
            parameter.grad = None
        learner.gradients(examples, objective)
        found = {
            p: there.sub_(gradient).div_(far)
            for p, gradient in here.items()
            if gradient is not None and (there := p.grad) is not None
        }
        return found if math.isfinite(norm_of(found)) else {}
    finally:
        with torch.no_grad():
            for parameter, before in kept.items():
                parameter.copy_(before)
        for parameter, gradient in here.items():
            parameter.grad = gradient


def growth(along: Tensors) -> float:
    """How the norm of the gradient that is in .grad changes where it changes by `along`."""
    there = {p: p.grad for p in along if p.grad is not None}
    norm = norm_of(there)
    return total((there[p] * along[p]).sum() for p in there) / norm if norm else 0.0


def rescale(along: Tensors, share: float) -> None:
    """Adds to `along` that the scale of the gradient in .grad changes by `share` of itself."""
    for parameter, change in along.items():
        if parameter.grad is not None:
            change.add_(parameter.grad, alpha=share)
