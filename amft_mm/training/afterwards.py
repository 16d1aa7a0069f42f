"""Imitation in an update of its own, right after a step's last, with an optimizer of its own (relift).

It is AdamW as the step's is, with its settings and learning rate, and has its own moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amft_mm.data.sources import Sources
from amft_mm.learning.learner import Learner, OptimizerSettings
from amft_mm.learning.mixed_step import MixedStep
from amft_mm.learning.optimization import moments, put_moments, set_lr
from amft_mm.methods.guidance import Choice
from amft_mm.methods.objectives import Objectives
from amft_mm.training.companions import Companion, Row


class ImitatedAfterwards(Companion):
    name = "imitated_afterwards"

    def __init__(
        self,
        learner: Learner,
        settings: OptimizerSettings,
        objectives: Objectives,
        sources: Sources,
    ) -> None:
        self._learner, self._objectives, self._sources = learner, objectives, sources
        self._own = MixedStep(settings.optimizer(learner.parameters), settings.max_norm)

    def finished(self, choices: Sequence[Choice], row: Row) -> Row:
        wanted = [choice.afterwards for choice in choices if choice.afterwards is not None]
        if not wanted:
            return {}
        set_lr(self._own.optimizer, self._learner.lr)
        examples = self._sources.examples_at([place for places in wanted for place in places])
        report = self._learner.gradients(examples, self._objectives.imitation)
        mix = self._own.mix(1.0, learn=False)
        self._own.step()
        return {
            "loss/imitation": report.loss,
            "grad/imitation_norm": mix.imitation_norm,
            "tokens/demo": row.get("tokens/demo", 0) + report.tokens,
        }

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": moments(self._own.optimizer, self._learner.policy.names())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            put_moments(self._own.optimizer, self._learner.policy.names(), state["optimizer"])
