"""One step of a run: `step.imitate(n)` of the warm-up, `step.mix(n, k)` of the single stage.

    draw      task instances, and demonstrations where the method guides by them
    play      the group's episodes of each
    credit    each answer
    gradients g_R of exploration, g_S of imitation
    look      what the last mixes did for the utility: the balance moves mu by it
    mix       g = (1 - mu) g_R + mu g_S
    step      the optimizer's, on the clipped mix
    tell      figures, all processes' together

A step that has several parts, each with a mu of its own, does the middle for each of them. What a step
draws is a function of (seed, step). What only some methods have joins by a `Companion`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from agents.engines.base import Engine
from agents.policy import Policy
from agents.trajectory import Trajectory
from amft_mm.config.settings import options_of
from amft_mm.data.sources import Sources
from amft_mm.learning.learner import Learner, OptimizerSettings
from amft_mm.learning.value import ValueHead
from amft_mm.methods.balance import Signal
from amft_mm.methods.guidance import Choice, Group, guidance
from amft_mm.methods.objectives import Objectives
from amft_mm.methods.parts import MixedPart, mixed_parts, together
from amft_mm.methods.rival import Rival
from amft_mm.methods.utility import Look, View, utility
from amft_mm.runs.episodes import Recorder
from amft_mm.runs.processes import ProcessGroup
from amft_mm.training.bridge import Bridged
from amft_mm.training.clock import Clock
from amft_mm.training.companions import Companion, Criticised, Recording, Row, WrongRewards
from amft_mm.training.credit import Credit, CriticCredit, GroupCredit


class NotFinite(RuntimeError):
    """Too many steps in a row whose loss or gradient was not a number."""


@dataclass
class Drawn:
    """What a step of the single stage has to go by."""

    step: int
    """Of the run."""
    number: int
    """Of the single stage, from 0."""
    explores: bool
    choice: Choice = field(default_factory=lambda: Choice([]))


class TrainingStep:
    def __init__(
        self,
        config: DictConfig,
        policy: Policy,
        engine: Engine,
        processes: ProcessGroup,
        recorder: Recorder,
    ) -> None:
        method, self._train = config.method, config.train
        self._engine, self._processes = engine, processes
        budget = self._train.micro_batch_tokens
        self.learner = Learner(policy, optimizer_settings(config), processes, budget)
        self.sources = Sources(config, policy, engine, processes)
        self._objectives = Objectives(method, policy)
        self._utility = utility(method.utility.name, options_of(method.utility))
        self._guidance = guidance(method.guidance.name, options_of(method.guidance))
        self._parts = mixed_parts(config)
        self._balanced = bool(method.balanced)
        self._companions: dict[str, Companion] = {}
        self._credit = self._credit_of(config, policy)
        self._join(config, policy, recorder)
        self._bad_steps = 0

    def imitate(self, step: int) -> Row:
        examples = self.sources.demonstrations(step, self._train.warmup_demos)
        started = time.monotonic()
        report = self.learner.gradients(examples, self._objectives.warmup)
        mix = self.learner.mixed.mix(1.0, learn=False)
        update = self.learner.mixed.step()
        self._check(step, update.finite, report.loss)
        self._engine.refresh()
        return {
            "mu": 1.0,
            "loss/imitation": report.loss,
            "grad/imitation_norm": mix.imitation_norm,
            "tokens/demo": report.tokens,
            "time/update": time.monotonic() - started,
        }

    def mix(self, step: int, number: int) -> Row:
        row: Row = {}
        clock = Clock(row)
        drawn = self._play(step, number, row, clock)
        figures = [self._mix_part(part, drawn, clock) for part in self._parts]
        update = self.learner.mixed.step()
        for companion in self._companions.values():
            companion.stepped()
        row |= together(self._parts, figures) | {"grad/norm": update.norm}
        self._check(step, update.finite, row.get("loss/exploration", 0.0))
        self._engine.refresh()
        clock("time/update")
        return row

    def _play(self, step: int, number: int, row: Row, clock: Clock) -> Drawn:
        """Draws task instances and plays them, where any part of the step explores."""
        drawn = Drawn(step, number, explores=not self._guidance.imitates())
        groups: list[Group] = []
        if drawn.explores and any(part.explores(number) for part in self._parts):
            done = number / self._train.steps
            groups, played = self.sources.rollouts(step, self._guidance, done)
            row |= played
            for companion in self._companions.values():
                row |= companion.played(step, groups, row)
                clock(companion.time)
        drawn.choice = self._guidance.choose(groups, self._processes)
        return drawn

    def _mix_part(self, part: MixedPart, drawn: Drawn, clock: Clock) -> Row:
        """Adds to the step's gradient what a part gives; its figures."""
        row = Row()
        look = None
        if drawn.explores and part.explores(drawn.number):
            look = self._explore(part, drawn, row, clock)
        if part.balance.learns:
            row |= part.balance.update(self._signal(part, drawn, look, row))
        mu = drawn.choice.mu if drawn.choice.mu is not None else part.balance.mu(drawn.number)
        clock("time/meta")
        if mu > 0.0 or part.balance.learns:
            self._imitate(part, drawn, row)
        row |= self._mixed(part, drawn, mu)
        clock("time/update")
        return row

    def _explore(self, part: MixedPart, drawn: Drawn, row: Row, clock: Clock) -> Look | None:
        """g_R of a part is taken; what it or other data say of the last mixes."""
        own = [t for t in drawn.choice.explore if part.only in (None, self.sources.env_of(t))]
        examples = self._credit.examples(drawn.step, own)
        objective = self._objectives.exploration
        report = self.learner.gradients(examples, objective, self._credit.critic)
        row |= {
            "tokens/demo": report.given,
            "loss/exploration": report.loss,
            "policy/entropy": report.entropy,
            "rollout/ratio_error": report.largest_ratio_error,
        }
        clock("time/update")
        for companion in self._companions.values():
            companion.explored()
        self.learner.mixed.take_exploration()
        return self._look(part, drawn, own)

    def _look(self, part: MixedPart, drawn: Drawn, own: list[Trajectory]) -> Look | None:
        if not part.balance.learns or part.name not in self.learner.mixed.z:
            return None
        rewarded = self._rewarded(drawn.step, own)
        view = View(drawn.number, drawn.step, part, self.learner, rewarded, self.sources)
        return self._utility.look(view)

    def _signal(self, part: MixedPart, drawn: Drawn, look: Look | None, row: Row) -> Signal:
        """What the balance is told of the step."""
        z_norm, entropy = self.learner.mixed.z_norm(part.name), row.get("policy/entropy")
        if look is None:
            return Signal(drawn.number, z_norm=z_norm, entropy=entropy)
        row |= {"meta/hypergradient": look.product, "meta/error": look.error}
        seen = (look.product, look.error, look.instances)
        return Signal(drawn.number, *seen, z_norm=z_norm, entropy=entropy)

    def _imitate(self, part: MixedPart, drawn: Drawn, row: Row) -> None:
        """.grad holds g_S of a part."""
        if drawn.choice.imitate is None:
            examples = self.sources.demonstrations(drawn.step, self._train.demos, part.only)
        else:
            examples = self.sources.examples_at(drawn.choice.imitate)
        report = self.learner.gradients(examples, self._objectives.imitation)
        row["loss/imitation"] = report.loss
        row["tokens/demo"] = row.get("tokens/demo", 0) + report.tokens

    def _mixed(self, part: MixedPart, drawn: Drawn, mu: float) -> Row:
        """Mixes both gradients of a part into the step's; figures of the mix."""
        mixed, scale = self.learner.mixed, 1.0
        if self._balanced:
            scale = part.scales.update(mixed.exploration_norm(), self.learner.gradient_norm())
        mu, weight = part.balance.weigh(drawn.number, mu, lambda: mixed.gradients(scale))
        for companion in self._companions.values():
            companion.imitated(mu, scale)
        learns, weight = part.balance.learns, part.weight * weight
        mix = mixed.mix(mu, scale, learn=learns, part=part.name, weight=weight)
        ratio = mix.effective_ratio(mu) * scale
        return {
            "mu": mu,
            "grad/imitation_norm": mix.imitation_norm,
            "grad/exploration_norm": mix.exploration_norm,
            "grad/cosine": mix.cosine,
            "grad/effective_ratio": ratio if math.isfinite(ratio) else None,
            "grad/scale": scale,
        }

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

    # What a method is made of.

    def _credit_of(self, config: DictConfig, policy: Policy) -> Credit:
        settings: dict[str, Any] = {str(k): v for k, v in config.method.credit.items()}
        if settings["credit"] != "gae":
            return GroupCredit(settings, self._rewarded)
        del settings["credit"]
        budget = self._train.micro_batch_tokens
        return CriticCredit(ValueHead(policy, self._processes, budget, **settings), self._rewarded)

    def _join(self, config: DictConfig, policy: Policy, recorder: Recorder) -> None:
        """Those of the companions that this run has, in the order in which they are asked."""
        joining: list[Companion] = []
        if config.train.reward_noise:
            joining.append(WrongRewards(config.train.reward_noise, config.seed))
        if config.record.rollouts and self._processes.main:
            count = int(config.record.rollouts)
            joining.append(Recording(count, recorder, self.sources, self._credit))
        if isinstance(self._credit, CriticCredit):
            joining.append(Criticised(self._credit.critic))
        if config.method.rival:
            rival = Rival(policy, self.learner, **config.method.rival)
            objective = self._objectives.exploration
            joining.append(
                Bridged(rival, self.sources, self._engine, self.learner, objective, self._credit)
            )
        self._companions = {companion.name: companion for companion in joining}

    def _rewarded(self, step: int, episodes: Sequence[Trajectory]) -> Sequence[Trajectory]:
        for companion in self._companions.values():
            episodes = companion.rewarded(step, episodes)
        return episodes

    # Around the steps.

    def begin_exploring(self, folder: Path) -> None:
        """Exploration begins with the weights as they are; what keeps them does so below `folder`."""
        self._objectives.freeze(folder / "reference.pt", write=self._processes.main)
        for companion in self._companions.values():
            companion.begin()

    def close(self) -> None:
        self.sources.close()

    def state_dict(self) -> dict[str, Any]:
        return {
            "parts": {part.name: part.state_dict() for part in self._parts},
            "guidance": self._guidance.state_dict(),
            "companions": {name: one.state_dict() for name, one in self._companions.items()},
            "bad_steps": self._bad_steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for part in self._parts:
            part.load_state_dict(state["parts"][part.name])
        self._guidance.load_state_dict(state["guidance"])
        for name, companion in self._companions.items():
            companion.load_state_dict(state["companions"].get(name, {}))
        self._bad_steps = state["bad_steps"]


def optimizer_settings(config: DictConfig) -> OptimizerSettings:
    train = config.train
    return OptimizerSettings(
        lr=train.lr,
        betas=tuple(train.betas),
        weight_decay=train.weight_decay,
        max_norm=train.max_norm,
        horizon=config.method.horizon,
        tangent=config.method.tangent,
    )
