"""From a method's settings to what the learner minimises: `Objectives(method, policy)`.

    .warmup                    sft, whatever the method: all methods begin alike
    .imitation, .exploration   the method's losses, with what they need beside the tokens
    .freeze(path, write=)      from now on the present weights are the reference, if one is needed

A loss module says in NEEDS what it needs: `reference` (other weights' log-probabilities of the chosen
tokens), `reference_kl` (KL(ref || pi) of whole distributions), `top_mass` (mass of the k likeliest). One
that says BY_ADVANTAGE = True has no gradient where advantages are 0, and is spared the backward pass there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from agents.conversation import Conversation
from agents.policy import Measure, Policy
from amft_mm.config.settings import options_of
from amft_mm.learning.correction import correction
from amft_mm.learning.entropy import with_entropy
from amft_mm.learning.learner import Objective
from amft_mm.learning.reference import Reference, with_kl
from amft_mm.methods.exploration import exploration
from amft_mm.methods.imitation import imitation, sft


class Objectives:
    def __init__(self, method: DictConfig, policy: Policy, temperature: float = 1.0) -> None:
        """What explores is the model at the temperature that rollouts are sampled at."""
        self._reference: Reference | None = None
        self._policy = policy
        self.warmup = Objective(sft.loss)
        self.imitation = self._objective(imitation, method.imitation)
        self.exploration = self._exploration(method, temperature)

    def _exploration(self, method: DictConfig, temperature: float) -> Objective:
        found = replace(
            self._objective(exploration, method.exploration),
            temperature=temperature,
            correction=correction(**method.correction),
        )
        if method.kl > 0:
            reference = partial(self._needed(), temperature=temperature)
            loss = with_kl(found.loss, method.kl)
            found = replace(found, loss=loss, reference=reference, by_advantage=False)
        if method.entropy:
            loss = with_entropy(found.loss, method.entropy)
            found = replace(found, loss=loss, by_advantage=False)
        return found

    def freeze(self, path: Path, *, write: bool) -> None:
        """They are kept at `path`, where a run that goes on finds them."""
        if self._reference is not None:
            self._reference.freeze(path, write=write)

    def _objective(self, family: Callable[[str], Any], settings: DictConfig) -> Objective:
        module, options = family(settings.name), options_of(settings)
        needs = getattr(module, "NEEDS", ())
        measure: Callable[[Sequence[Conversation]], Measure] | None = None
        if "reference_kl" in needs:
            measure = self._needed().divergence
        if "top_mass" in needs:
            measure = partial(_top_mass, int(options.get("k", 3)))
        reference = self._needed() if "reference" in needs else None
        still = bool(getattr(module, "BY_ADVANTAGE", False))
        return Objective(partial(module.loss, **options), reference, measure, still)

    def _needed(self) -> Reference:
        self._reference = self._reference or Reference(self._policy)
        return self._reference


def _top_mass(k: int, conversations: Sequence[Conversation]) -> Measure:
    def measure(log_probs: torch.Tensor, where: slice) -> torch.Tensor:
        return log_probs.detach().topk(min(k, log_probs.shape[-1])).values.exp().sum(-1)

    return measure
