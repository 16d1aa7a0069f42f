"""The life of a training run: a warm-up that imitates, then steps that imitate and explore.

    Trainer(config, policy, engine, run, processes).train()

A step: rollouts are played and credited, both gradients are taken, the balance is told what its last
mixes did (the exploration gradient of task instances that those updates never saw), and one optimizer
step is made on the mix. What a step draws is a function of (seed, step).
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from omegaconf import DictConfig

from agents.engines.base import Engine
from agents.policy import Policy
from agents.trajectory import Trajectory
from amft_mm.config.settings import options_of, world_of
from amft_mm.data.rollouts import (
    answer_rewards,
    anything_to_learn,
    credited,
    group_credit,
    with_wrong_rewards,
)
from amft_mm.data.sources import Sources
from amft_mm.evaluation.evaluator import Evaluator
from amft_mm.learning.learner import Example, Learner, OptimizerSettings
from amft_mm.learning.optimization import slope
from amft_mm.learning.value import ValueHead
from amft_mm.methods.balance import Signal, Weighing
from amft_mm.methods.guidance import Choice, Group, guidance
from amft_mm.methods.objectives import Objectives
from amft_mm.methods.parts import MixedPart, mixed_parts, together
from amft_mm.methods.rival import Rival
from amft_mm.methods.utility import View, utility
from amft_mm.runs import checkpoints
from amft_mm.runs.curves import draw
from amft_mm.runs.episodes import Recorder
from amft_mm.runs.folder import RunFolder
from amft_mm.runs.metrics import read_rows
from amft_mm.runs.processes import ProcessGroup
from envs.contract import share

Row = dict[str, Any]


class NotFinite(RuntimeError):
    """Too many steps in a row whose loss or gradient was not a number."""


class Trainer:
    def __init__(
        self,
        config: DictConfig,
        policy: Policy,
        engine: Engine,
        run: RunFolder,
        processes: ProcessGroup,
        listeners: Sequence[Callable[[Row], None]],
    ) -> None:
        self.config, self.policy, self.engine = config, policy, engine
        self.run, self.processes, self._listeners = run, processes, listeners
        method, train = config.method, config.train
        share("train.reward_noise", train.reward_noise)
        self.learner = Learner(
            policy, optimizer_settings(config), processes, train.micro_batch_tokens
        )
        self._utility = utility(method.utility.name, options_of(method.utility))
        self._objectives = Objectives(method, policy)
        self._guidance = guidance(method.guidance.name, options_of(method.guidance))
        self._credit: dict[str, Any] = {str(k): v for k, v in method.credit.items()}
        self._value = self._value_head()
        if self._guidance.shown and (method.mu_per_env or self._value is not None):
            raise ValueError(
                f"method.guidance.name={method.guidance.name} goes neither with method.mu_per_env=true nor "
                "with credit by gae"
            )
        self._rival = Rival(policy, self.learner, **method.rival) if method.rival else None
        if self._rival is not None and (
            self._guidance.shown or method.mu_per_env or self._value is not None
        ):
            raise ValueError(
                "method.rival goes neither with guidance, method.mu_per_env=true nor credit by gae"
            )
        self.sources = Sources(config, policy, engine, processes)
        self._parts = mixed_parts(config)
        self.evaluator = Evaluator(config, policy, engine, processes)
        self._recorder = Recorder(run.path / "episodes", policy)
        self.step = 0
        self._bad_steps = 0
        self._stop_asked = False

    @property
    def last_step(self) -> int:
        return int(self.config.train.warmup_steps + self.config.train.steps)

    def train(self) -> None:
        if self.step >= self._warmup:
            self._freeze()
        with self._stopping_politely():
            for row in self.steps():
                self._tell(row)
                self._after()
                if self._stop_asked:
                    self.save()
                    raise SystemExit(143)
        self.sources.close()
        self.evaluator.close()

    def steps(self) -> Iterator[Row]:
        while self.step < self.last_step:
            started = time.monotonic()
            self.step += 1
            warming = self.step <= self.config.train.warmup_steps
            self.learner.set_lr(self.lr(self.step))
            row = self._imitate() if warming else self._mix(self.step - 1 - self._warmup)
            row = {"step": self.step, "phase": "warmup" if warming else "mix", **row}
            row["lr"] = self.lr(self.step)
            row["time/step"] = time.monotonic() - started
            yield row

    @property
    def _warmup(self) -> int:
        return int(self.config.train.warmup_steps)

    def lr(self, step: int) -> float:
        """A ramp and a half cosine in each of the two phases."""
        train = self.config.train
        if step <= self._warmup:
            return float(train.warmup_lr * slope(step, self._warmup, train.ramp, train.final_lr))
        done = step - self._warmup
        return float(train.lr * slope(done, train.steps, train.ramp, train.final_lr))

    # One step.

    def _imitate(self) -> Row:
        examples = self.sources.demonstrations(self.step, self.config.train.warmup_demos)
        started = time.monotonic()
        report = self.learner.gradients(examples, self._objectives.warmup)
        mix = self.learner.mixed.mix(1.0, learn=False)
        self._check(self.learner.mixed.step().finite, report.loss)
        self.engine.refresh()
        return {
            "mu": 1.0,
            "loss/imitation": report.loss,
            "grad/imitation_norm": mix.imitation_norm,
            "tokens/demo": report.tokens,
            "time/update": time.monotonic() - started,
        }

    def _mix(self, number: int) -> Row:
        row: Row = {}
        clock = _Clock(row)
        groups: list[Group] = []
        explores = not self._guidance.imitates()
        if explores and any(part.explores(number) for part in self._parts):
            done = number / self.config.train.steps
            groups, played = self.sources.rollouts(self.step, self._guidance, done)
            row |= played
            self._record(groups)
            clock("time/rollout")
            if self._rival is not None:
                row |= self._play_rival(self._rival, row["tokens/generated"])
                clock("time/rival")
        choice = self._guidance.choose(groups, self.processes)
        figures = [self._mix_part(part, number, choice, explores, clock) for part in self._parts]
        if self._value is not None:
            self._value.step()
        step = self.learner.mixed.step()
        if self._rival is not None:
            self._rival.step()
        row |= together(self._parts, figures) | {"grad/norm": step.norm}
        self._check(step.finite, row.get("loss/exploration", 0.0))
        self.engine.refresh()
        clock("time/update")
        return row

    def _mix_part(
        self, part: MixedPart, number: int, choice: Choice, explores: bool, clock: _Clock
    ) -> Row:
        """Adds to the step's gradient what a part gives; its figures."""
        mixed, learns, row = self.learner.mixed, part.balance.learns, Row()
        entropy, look = None, None
        if explores and part.explores(number):
            own = [t for t in choice.explore if part.only in (None, self.sources.env_of(t))]
            examples = self._credited(own)
            report = self.learner.gradients(examples, self._objectives.exploration, self._value)
            row |= {
                "tokens/demo": report.given,
                "loss/exploration": report.loss,
                "policy/entropy": report.entropy,
                "rollout/ratio_error": report.largest_ratio_error,
            }
            entropy = report.entropy
            (learnable,) = self.processes.sum(float(anything_to_learn(examples)))
            clock("time/update")
            looks = learns and part.name in mixed.z
            view = View(number, self.step, part, self.learner, own, bool(learnable), self.sources)
            if looks and self._utility.while_exploring:
                look = self._utility.look(view)
            clock("time/meta")
            if self._rival is not None:
                self._rival.explored()
            mixed.take_exploration()
            if looks and not self._utility.while_exploring:
                look = self._utility.look(view)
        if learns:
            product, norm = (None, 0.0) if look is None else (look.product, look.norm)
            seen = Signal(number, product, norm, mixed.z_norm(part.name), entropy)
            row |= part.balance.update(seen)
            if look is not None:
                row["meta/hypergradient"] = look.product
        mu = part.balance.mu(number) if choice.mu is None else choice.mu
        clock("time/meta")
        if mu > 0.0 or learns:
            if choice.imitate is None:
                count = self.config.train.demos
                examples = self.sources.demonstrations(self.step, count, part.only)
            else:
                examples = self.sources.examples_at(choice.imitate)
            report = self.learner.gradients(examples, self._objectives.imitation)
            shown = row.get("tokens/demo", 0) + report.tokens
            row |= {"loss/imitation": report.loss, "tokens/demo": shown}
        scale, weight = 1.0, part.weight
        if self.config.method.balanced:
            scale = part.scales.update(mixed.exploration_norm(), self.learner.gradient_norm())
        if isinstance(part.balance, Weighing):
            explored, imitated = part.balance.weights(number, mixed.gradients(scale))
            weight, mu = weight * (explored + imitated), imitated / (explored + imitated)
        if self._rival is not None:
            self._rival.imitated(mu, scale)
        mix = mixed.mix(mu, scale, learn=learns, part=part.name, weight=weight)
        clock("time/update")
        ratio = mix.effective_ratio(mu) * scale
        return row | {
            "mu": mu,
            "grad/imitation_norm": mix.imitation_norm,
            "grad/exploration_norm": mix.exploration_norm,
            "grad/cosine": mix.cosine,
            "grad/effective_ratio": ratio if math.isfinite(ratio) else None,
            "grad/scale": scale,
        }

    def _play_rival(self, rival: Rival, generated: float) -> Row:
        """The rival explores the step's task instances. `generated`: tokens that the model wrote."""
        with rival.playing():
            self.engine.refresh()
            groups, played = self.sources.rollouts(self.step)
            examples = self._credited([t for _, members in groups for t in members])
            self.learner.gradients(examples, self._objectives.exploration)
        self.engine.refresh()
        return {
            "tokens/generated": generated + played["tokens/generated"],
            "rival/success": played.get("rollout/success"),
        }

    def _record(self, groups: Sequence[Group]) -> None:
        """Keeps the first episodes of each environment, to be looked at."""
        count, seen = int(self.config.record.rollouts), set()
        for (number, _), members in groups if count and self.processes.main else ():
            if number not in seen:
                seen.add(number)
                rewarded = self._as_rewarded(members)
                credit = None if self._value else group_credit(rewarded, self._credit)[:count]
                env = self.sources.parts[number]
                self._recorder.keep(
                    "rollout", self.step, env.name, members[:count], world_of(env.env), credit
                )

    def _value_head(self) -> ValueHead | None:
        if self._credit["credit"] != "gae":
            return None
        settings = {k: v for k, v in self._credit.items() if k != "credit"}
        return ValueHead(
            self.policy, self.processes, self.config.train.micro_batch_tokens, **settings
        )

    def _credited(self, trajectories: Sequence[Trajectory]) -> list[Example]:
        trajectories = self._as_rewarded(trajectories)
        if self._value is None:
            return credited(trajectories, self._credit)
        whole = [t for t in trajectories if not t.failed and t.conversation.answers]
        examples = [Example(t.conversation) for t in whole]
        return self._value.credited(examples, [answer_rewards(t) for t in whole])

    def _as_rewarded(self, trajectories: Sequence[Trajectory]) -> Sequence[Trajectory]:
        """With the wrong rewards that a study asks for."""
        noise = self.config.train.reward_noise
        if not noise:
            return trajectories
        return with_wrong_rewards(trajectories, noise, self.config.seed, self.step)

    def _check(self, finite: bool, loss: float) -> None:
        """Counts steps that were left out; too many in a row end the run."""
        if finite and math.isfinite(loss):
            self._bad_steps = 0
            return
        self._bad_steps += 1
        if self._bad_steps >= self.config.train.nonfinite:
            raise NotFinite(
                f"step {self.step}: losses or gradients were not finite for {self._bad_steps} steps in "
                "a row (train.nonfinite). Lower train.lr, or look at the last rows of metrics.jsonl."
            )

    # Around the steps.

    def _tell(self, row: Row) -> None:
        if self.processes.main:
            self.run.log(row)
        for listener in self._listeners:
            listener(row)

    def _after(self) -> None:
        if self.step == self._warmup:
            self._freeze()
        every, last, best = self.config.eval.every, self.step == self.last_step, False
        due = every and self.step % every == 0 and self.step > self._warmup
        if last or due or (self.step == self._warmup and every):
            found = self.evaluator.evaluate(last=last)
            if self.processes.main:
                self.evaluator.keep(self._recorder, self.step, self.config.record.evaluation)
            self._tell({"step": self.step, "phase": "evaluation", **found})
            if self.processes.main:
                draw(read_rows(self.run.path), self.run.path / "curves.png", self.run.path.name)
                summary = self.evaluator.summary(f"step_{self.step:06d}", found)
                self.run.summarise(summary, self.evaluator.instances())
                best = checkpoints.mark_best(self.folder, self.step, self.evaluator.score(found))
        (wanted,) = self.processes.sum(float(best))
        if last or wanted or self.step % self.config.checkpoint.every == 0:
            self.save()

    def _freeze(self) -> None:
        """Exploration begins with the weights as they are."""
        self._objectives.freeze(self.run.path / "reference.pt", write=self.processes.main)
        if self._rival is not None and not self._rival.begun:
            self._rival.begin()

    @property
    def folder(self) -> Path:
        return self.run.path / "checkpoints"

    def save(self) -> None:
        if self.processes.main:
            trained = {
                name: value
                for name, value in self.policy.model.state_dict().items()
                if not name.endswith("lm_head.weight")
                or not self.policy.plain_model.config.tie_word_embeddings
            }
            checkpoints.save(
                self.folder, self.step, self.state(), trained, self.config.checkpoint.keep
            )
        self.processes.wait()

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "learner": self.learner.state_dict(),
            "parts": {part.name: part.state_dict() for part in self._parts},
            "guidance": self._guidance.state_dict(),
            "bad_steps": self._bad_steps,
            "value": self._value.state_dict() if self._value is not None else None,
            "rival": self._rival.state_dict() if self._rival and self._rival.begun else None,
        }

    def resume(self) -> bool:
        """Goes on from the newest checkpoint, if there is one."""
        newest = checkpoints.latest(self.folder)
        if newest is None:
            return False
        state = self._load(newest)
        for part in self._parts:
            part.load_state_dict(state["parts"][part.name])
        self._guidance.load_state_dict(state["guidance"])
        self._bad_steps = state["bad_steps"]
        if self._value is not None:
            self._value.load_state_dict(state["value"])
        if self._rival is not None and state["rival"] is not None:
            self._rival.load_state_dict(state["rival"])
        if self.processes.main:
            self.run.forget_after(self.step)
        return True

    def warm_from(self, run: Path) -> None:
        """Begins where another run's warm-up ended, with its weights and optimizer."""
        path = checkpoints.path_of(run / "checkpoints", self._warmup)
        if not path.is_dir():
            raise FileNotFoundError(
                f"train.warm_from={run}: there is no checkpoint of the end of a warm-up of "
                f"train.warmup_steps={self._warmup} (there: {checkpoints.names(path.parent)}); "
                "a run with train.steps=0 leaves one"
            )
        self._load(path)

    def _load(self, path: Path) -> dict[str, Any]:
        """Weights, optimizer and step of a checkpoint; the rest of what it holds."""
        state = checkpoints.load(path)
        self.policy.model.load_state_dict(state["model"], strict=False)
        self.learner.load_state_dict(state["learner"])
        self.step = int(state["step"])
        self.engine.refresh()
        return state

    @contextmanager
    def _stopping_politely(self) -> Iterator[None]:
        """SIGTERM ends the run after the step that is being made, with a checkpoint."""

        def asked(number: int, frame: FrameType | None) -> None:
            self._stop_asked = True

        before = signal.signal(signal.SIGTERM, asked)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)


class _Clock:
    """Adds up what parts of a step take."""

    def __init__(self, row: Row) -> None:
        self._row, self._last = row, time.monotonic()

    def __call__(self, name: str) -> None:
        now = time.monotonic()
        self._row[name] = self._row.get(name, 0.0) + now - self._last
        self._last = now


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
