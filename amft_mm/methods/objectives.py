"""From a method's settings to what the learner minimises: `Objectives(method, policy)`.

    .warmup                    sft, whatever the method: all methods begin alike
    .imitation, .exploration   the method's losses, with what they need beside the tokens
    .stream                    what imitation learns from instead of demonstrations, if it does
    .freeze(folder)            from now on the present weights are the reference, if one is needed
    .calibrate(path, ...)      and thresholds are quantiles of what they make of demonstrations

A loss module says in NEEDS what it needs: `reference` (other weights' log-probabilities of the chosen
tokens), `behaviour` (those of the model that wrote the demonstrations), `reference_kl` (KL(ref || pi) of
whole distributions), `top_mass` (mass of the k likeliest), `teacher` (the policy itself, told more). One
that says BY_ADVANTAGE = True has no gradient where advantages are 0, and is spared the backward pass there.
OPTIONS names settings that are of what it needs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from agents.conversation import Conversation
from agents.files import write_text
from agents.policy import Measure, Policy
from amft_mm.config.settings import options_of
from amft_mm.learning.batching import by_length
from amft_mm.learning.correction import correction
from amft_mm.learning.entropy import with_entropy
from amft_mm.learning.example import Example
from amft_mm.learning.objective import Objective
from amft_mm.learning.objective import Reference as Reader
from amft_mm.learning.reference import Behaviour, Reference, with_kl
from amft_mm.methods.exploration import exploration
from amft_mm.methods.imitation import imitation, sft
from amft_mm.methods.imitation.distilled import teacher_measure
from amft_mm.methods.imitation.streams import Offered
from amft_mm.runs.processes import ProcessGroup
from envs.contract import share


class Objectives:
    def __init__(self, method: DictConfig, policy: Policy, temperature: float = 1.0) -> None:
        """What explores is the model at the temperature that rollouts are sampled at."""
        self._reference: Reference | None = None
        self._lowest: float | None = None
        self.stream: Callable[[Offered], list[Example]] | None = None
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

    def freeze(self, folder: Path, *, begun: bool = False) -> None:
        """They are kept in `folder`, where a run that goes on finds them. One that has `begun` to explore
        takes none but those."""
        if self._reference is not None:
            _refuse_to_remake(folder, begun)
            self._reference.freeze(folder)

    def calibrate(
        self,
        path: Path,
        demonstrations: Callable[[], Sequence[Conversation]],
        processes: ProcessGroup,
        micro_batch_tokens: int,
        *,
        begun: bool = False,
    ) -> None:
        """Kept at `path`, where a run that goes on finds it, in the same way."""
        if self._lowest is None:
            return
        _refuse_to_remake(path, begun)
        if path.exists():
            tau = float(json.loads(path.read_text(encoding="utf-8"))["tau"])
        else:
            with self._policy.gathered():
                masses = self._measured(demonstrations(), micro_batch_tokens)
            tau = float(np.quantile(processes.gather(masses) or [0.0], self._lowest))
            if processes.main:
                write_text(path, json.dumps({"tau": tau, "lowest": self._lowest}))
        loss: Callable[..., torch.Tensor] = self.imitation.loss
        self.imitation = replace(self.imitation, loss=partial(loss, tau=tau))

    @torch.no_grad()
    def _measured(self, conversations: Sequence[Conversation], tokens: int) -> list[float]:
        assert self.imitation.measure is not None
        self._policy.model.eval()
        found: list[float] = []
        for part in by_length(conversations, tokens):
            measure = self.imitation.measure([Example(conversation) for conversation in part])
            measured = self._policy.score(part, measure).measured
            assert measured is not None
            found += measured.tolist()
        return found

    def _objective(self, family: Callable[[str], Any], settings: DictConfig) -> Objective:
        module, options = family(settings.name), options_of(settings)
        needs = getattr(module, "NEEDS", ())
        measure: Callable[[Sequence[Example]], Measure] | None = None
        reference: Reader | None = self._needed() if "reference" in needs else None
        if "behaviour" in needs:
            reference = Behaviour(_behaviour(settings.name, options), self._policy)
        if "reference_kl" in needs:
            measure = partial(_divergence, self._needed())
        if "top_mass" in needs:
            measure = partial(_top_mass, int(options.get("k", 2)))
            if options.get("tau") is None:
                self._lowest = share("method.imitation.lowest", options.get("lowest", 0.3))
        if "teacher" in needs:
            alpha = share("method.imitation.alpha", options.pop("alpha", 1.0))
            measure = partial(teacher_measure, self._policy, alpha)
        if hasattr(module, "stream"):
            taken = signature(module.stream).parameters
            own = {key: options.pop(key) for key in list(options) if key in taken}
            self.stream = partial(module.stream, **own)
        still = bool(getattr(module, "BY_ADVANTAGE", False))
        return Objective(partial(module.loss, **options), reference, measure, still)

    def _needed(self) -> Reference:
        self._reference = self._reference or Reference(self._policy)
        return self._reference


def _refuse_to_remake(path: Path, begun: bool) -> None:
    """Of what was kept when exploration began, once the weights have moved on."""
    if begun and not path.exists():
        raise FileNotFoundError(
            f"{path} is not there any more: it is of the weights with which this run began to explore, and "
            "can not be made of those it has now. Put it back, or begin anew in another folder by out=FOLDER"
        )


def _behaviour(name: str, options: dict[str, Any]) -> str:
    given = options.pop("behaviour", None)
    if not given:
        raise ValueError(
            f"method.imitation.name={name} compares the policy with whoever wrote the demonstrations: give "
            "that model as ++method.imitation.behaviour=MODEL. Demonstrations of an expert program have no "
            "probabilities; for these take another loss, such as method=dft"
        )
    return str(given)


def _divergence(reference: Reference, examples: Sequence[Example]) -> Measure:
    return reference.divergence([example.conversation for example in examples])


def _top_mass(k: int, examples: Sequence[Example]) -> Measure:
    def measure(log_probs: torch.Tensor, where: slice) -> torch.Tensor:
        return log_probs.detach().topk(min(k, log_probs.shape[-1])).values.exp().sum(-1)

    return measure
