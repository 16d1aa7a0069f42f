"""One step of a run: `step.imitate(n)` of the warm-up, `step.mix(n, k)` of the single stage.

    draw      task instances, and demonstrations where the method guides by them
    play      the group's episodes of each
    credit    each answer
    divide    groups and demonstrations into minibatches            (all this: amft_mm/training/playing.py)
    and for each of them, `epochs` times over:
        gradients g_R of exploration, g_S of imitation
        look      what the last mixes did for the utility: the balance moves mu by it
        mix       g = (1 - mu) g_R + mu g_S                         (this: amft_mm/training/mixing.py)
        step      the optimizer's, on the clipped mix
    tell      figures, all processes' together

A step that has several parts, each with a mu of its own, does the middle for each of them. What a step draws
is a function of (seed, step). What only some methods have joins by a `Companion`.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from agents.conversation import Conversation
from agents.engines.base import Engine
from agents.policy import Policy
from amft_mm.methods.parts import together
from amft_mm.runs.episodes import Recorder
from amft_mm.runs.folder import REFERENCE, TAU
from amft_mm.runs.processes import ProcessGroup
from amft_mm.training.assembly import assembled
from amft_mm.training.clock import Clock
from amft_mm.training.companions import Row
from amft_mm.training.minibatches import over_updates
from amft_mm.training.mixing import Mixing
from amft_mm.training.playing import Playing

MEASURED = 64
"""Demonstrations of which quantiles are taken."""


class NotFinite(RuntimeError):
    """Too many steps in a row whose loss or gradient was not a number."""


class TrainingStep:
    def __init__(
        self,
        config: DictConfig,
        policy: Policy,
        engine: Engine,
        processes: ProcessGroup,
        recorder: Recorder,
    ) -> None:
        self._train, self._limits = config.train, config.limits
        self._with = assembled(config, policy, engine, processes, recorder)
        self.learner, self.sources = self._with.learner, self._with.sources
        self._playing, self._mixing = Playing(config, self._with), Mixing(config, self._with)
        self._bad_steps = 0

    def imitate(self, step: int) -> Row:
        examples = self.sources.demonstrations(step, self._train.warmup_demos)
        started = time.monotonic()
        report = self.learner.gradients(examples, self._with.objectives.warmup)
        cut = self._cut_short(step, report.tokens, *self.sources.cut())
        mix = self.learner.mixed.mix(1.0, learn=False)
        update = self.learner.mixed.step()
        self._check(step, update.finite, report.loss)
        self._playing.moved()
        return {
            "mu": 1.0,
            "loss/imitation": report.loss,
            "grad/imitation_norm": mix.imitation_norm,
            "tokens/demo": report.tokens,
            "demos/cut": cut,
            "time/update": time.monotonic() - started,
        }

    def _cut_short(
        self, step: int, tokens: float, cut: int, emptied: int, *, chosen: bool = False
    ) -> int:
        """Demonstrations that the limits cut; where nothing is left of all of a step's, the run ends. Not
        where they were `chosen` by how the model fared: it may be a single one, and what fails is long."""
        if emptied and not tokens and not chosen:
            raise ValueError(
                f"step {step}: limits.max_tokens and limits.max_turns leave no answer of any of its "
                f"demonstrations ({emptied} are longer): raise them (now {self._limits.max_tokens} and "
                f"{self._limits.max_turns}), or take shorter demonstrations"
            )
        return cut

    def mix(self, step: int, number: int) -> Row:
        row: Row = {}
        clock = Clock(row)
        minibatches = self._playing.minibatches(step, number, row, clock)
        epochs = self._train.epochs if self._playing.explores(number) else 1
        updates: list[Row] = []
        finite = True
        for minibatch in minibatches * epochs:
            fresh = [] if updates else minibatches
            own = self._mixing.add(minibatch, clock, fresh)
            update = self.learner.mixed.step(again=bool(updates))
            finite = finite and update.finite
            updates.append(together(self._with.parts, own) | {"grad/norm": update.norm})
            for companion in self._with.companions.values():
                companion.stepped()
        row |= over_updates(updates, len(minibatches))
        each, emptied = (count // epochs for count in self.sources.cut())  # epochs read the same
        for companion in self._with.companions.values():
            row |= companion.finished([one.choice for one in minibatches], row)
        chosen = any(one.choice.imitate is not None for one in minibatches)
        chosen = chosen or any(part.success is not None for part in self._with.parts)
        more, more_emptied = self.sources.cut()  # of what companions imitated
        told = row.get("tokens/demo", 0)
        row["demos/cut"] = self._cut_short(
            step, told, each + more, emptied + more_emptied, chosen=chosen
        )
        self._check(step, finite, row.get("loss/exploration") or 0.0)
        self._playing.moved()
        if self._playing.explores(number) and not self._train.ahead:
            self.hand_over()
        clock("time/update")
        return row

    def _check(self, step: int, finite: bool, loss: float) -> None:
        """Counts steps that were left out; too many in a row end the run."""
        if finite and math.isfinite(loss):
            self._bad_steps = 0
            return
        self._bad_steps += 1
        if self._bad_steps >= self._train.nonfinite:
            raise NotFinite(
                f"step {step}: losses or gradients were not finite for {self._bad_steps} steps in "
                "a row (train.nonfinite). Lower train.lr, or look at the last rows of metrics.jsonl."
            )

    # Around the steps.

    def hand_over(self) -> None:
        """Has the engine answer by the present weights."""
        self._playing.hand_over()

    def begin_exploring(self, folder: Path, *, begun: bool = False) -> None:
        """Exploration begins with the weights as they are; what keeps them does so below `folder`. Where it
        has `begun` before, with those that are kept there."""
        budget, objectives = self._train.micro_batch_tokens, self._with.objectives
        objectives.freeze(folder / REFERENCE, begun=begun)
        objectives.calibrate(folder / TAU, self._heldout, self._with.processes, budget, begun=begun)
        for companion in self._with.companions.values():
            companion.begin()

    def _heldout(self) -> list[Conversation]:
        """Demonstrations to measure on."""
        return [example.conversation for example in self.sources.measured_on(MEASURED)]

    def close(self) -> None:
        self.sources.close()

    def state_dict(self) -> dict[str, Any]:
        return {
            "parts": {part.name: part.state_dict() for part in self._with.parts},
            "guidance": self._with.guidance.state_dict(),
            "curriculum": self.sources.curriculum.state_dict(),
            "companions": {name: one.state_dict() for name, one in self._with.companions.items()},
            "bad_steps": self._bad_steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for part in self._with.parts:
            part.load_state_dict(state["parts"][part.name])
        self._with.guidance.load_state_dict(state["guidance"])
        if state.get("curriculum"):
            self.sources.curriculum.load_state_dict(state["curriculum"])
        for name, companion in self._with.companions.items():
            companion.load_state_dict(state["companions"].get(name, {}))
        self._bad_steps = state["bad_steps"]
