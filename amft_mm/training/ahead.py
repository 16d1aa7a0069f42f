"""What would come of a step on each of several mixes, by making it and taking it back.

    LookAhead(learner, sources, engine).success(mus, scale, step=, tasks=)  -> for each, from 0 to 1

Asked for when both gradients are there: the learner holds exploration's, .grad imitation's. All is as it was
afterwards, gradients, weights and the optimizer's state.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch

from agents.engines.base import Engine
from agents.trajectory import Trajectory
from amft_mm.learning.learner import Learner


class Heldout(Protocol):
    def heldout_rollouts(self, step: int, tasks: int) -> list[list[Trajectory]]: ...


class LookAhead:
    def __init__(self, learner: Learner, sources: Heldout, engine: Engine) -> None:
        self._learner, self._sources, self._engine = learner, sources, engine

    def success(self, mus: Sequence[float], scale: float, *, step: int, tasks: int) -> list[float]:
        """Of the same task instances by the same random numbers for each."""
        found = []
        for mu in mus:
            with self._taken_back():
                self._learner.mixed.mix(mu, scale, learn=False)
                self._learner.mixed.step()
                self._engine.refresh()
                groups = self._sources.heldout_rollouts(step, tasks)
                won = [t.success for members in groups for t in members if not t.failed]
                found.append(sum(won) / max(len(won), 1))
        self._engine.refresh()
        return found

    @contextmanager
    def _taken_back(self) -> Iterator[None]:
        learner, mixed = self._learner, self._learner.mixed
        explored = {p: gradient.clone() for p, gradient in mixed.exploration.items()}
        imitated = {p: p.grad.clone() for p in learner.parameters if p.grad is not None}
        weights = [p.detach().clone() for p in learner.parameters]
        state = copy.deepcopy(learner.optimizer.state_dict())
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(learner.parameters, weights, strict=True):
                    parameter.copy_(value)
                    parameter.grad = imitated.get(parameter)
            learner.optimizer.load_state_dict(state)
            mixed.exploration = explored
