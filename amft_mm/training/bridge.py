"""The rival of `bridge` at the joints of a step: it explores the task instances that the model explored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.engines.base import Engine
from amft_mm.data.sources import Sources
from amft_mm.learning.learner import Learner
from amft_mm.learning.objective import Objective
from amft_mm.methods.guidance import Group
from amft_mm.methods.rival import Rival
from amft_mm.training.companions import Companion, Row
from amft_mm.training.credit import Credit


class Bridged(Companion):
    name = "rival"
    time = "time/rival"

    def __init__(
        self,
        rival: Rival,
        sources: Sources,
        engine: Engine,
        learner: Learner,
        objective: Objective,
        credit: Credit,
    ) -> None:
        self._rival, self._sources, self._engine = rival, sources, engine
        self._learner, self._objective, self._credit = learner, objective, credit

    def begin(self) -> None:
        if not self._rival.begun:
            self._rival.begin()

    def played(self, step: int, groups: Sequence[Group], row: Row) -> Row:
        with self._rival.playing():
            self._engine.refresh()
            own, figures = self._sources.rollouts(step)
            examples = self._credit.examples(step, [t for _, members in own for t in members])
            self._learner.gradients(examples, self._objective)
        self._engine.refresh()
        return {
            "tokens/generated": row["tokens/generated"] + figures["tokens/generated"],
            "rival/success": figures.get("rollout/success"),
        }

    def explored(self) -> None:
        self._rival.explored()

    def imitated(self, mu: float, scale: float) -> None:
        self._rival.imitated(mu, scale)

    def stepped(self) -> None:
        self._rival.step()

    def state_dict(self) -> dict[str, Any]:
        return self._rival.state_dict() if self._rival.begun else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            self._rival.load_state_dict(state)
