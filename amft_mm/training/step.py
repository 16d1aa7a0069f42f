"""One step of a run: `step.imitate(n)` of the warm-up, `step.mix(n, k)` of the single stage.

    draw      task instances, and demonstrations where the method guides by them
    play      the group's episodes of each
    credit    each answer
    divide    groups and demonstrations into minibatches, and for each of them, `epochs` times over:
        gradients g_R of exploration, g_S of imitation
        look      what the last mixes did for the utility: the balance moves mu by it
        mix       g = (1 - mu) g_R + mu g_S
        step      the optimizer's, on the clipped mix
    tell      figures, all processes' together

With `train.ahead` the episodes of the next step are played while this one is learnt from, by the weights that
this one began with; they are a step old when their turn comes (`rollout/staleness`), and looks weigh them by
how much likelier they have become. The step after one that `checkpoint.every` saves is played in turn, so
that a run goes on from there as if it had not stopped.

All of a step's rollouts are looked at before its first update: after it the weights are another step away
from those that played, and have seen them. A step that has several parts, each with a mu of its own, does the
middle for each of them. What a step draws is a function of (seed, step). What only some methods have joins by
a `Companion`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from agents.conversation import Conversation
from agents.engines.base import Engine
from agents.policy import Policy
from agents.trajectory import Trajectory
from amft_mm.config.settings import options_of
from amft_mm.data.rollouts import play_settings
from amft_mm.data.sources import Sources
from amft_mm.learning.learner import Example, Learner
from amft_mm.methods.balance import Signal
from amft_mm.methods.guidance import Group, guidance
from amft_mm.methods.imitation.streams import Offered
from amft_mm.methods.objectives import Objectives
from amft_mm.methods.parts import MixedPart, mixed_parts, together
from amft_mm.methods.utility import Look, View, utility
from amft_mm.runs.episodes import Recorder
from amft_mm.runs.failures import Failures
from amft_mm.runs.folder import REFERENCE, TAU
from amft_mm.runs.processes import ProcessGroup
from amft_mm.training.ahead import LookAhead
from amft_mm.training.assembly import (
    credit_of,
    learning,
    optimizer_settings,
    recording,
    rewarding,
)
from amft_mm.training.clock import Clock
from amft_mm.training.companions import Row
from amft_mm.training.minibatches import Minibatch, divided, over_updates

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
        method, self._train = config.method, config.train
        self._saves_every = int(config.checkpoint.every)
        self._policy, self._engine, self._processes = policy, engine, processes
        budget = self._train.micro_batch_tokens
        self.learner = Learner(policy, optimizer_settings(config), processes, budget)
        self.sources = Sources(config, policy, engine, processes)
        self._limits = play_settings(config).limits
        temperature = play_settings(config).sampling.learnt_at
        self._objectives = Objectives(method, policy, temperature)
        self._utility = utility(method.utility.name, options_of(method.utility))
        self._guidance = guidance(method.guidance.name, options_of(method.guidance))
        self._parts = mixed_parts(config)
        self._balanced = bool(method.balanced)
        self._ahead = LookAhead(self.learner, self.sources, engine)
        joining = rewarding(config)
        self._rewarding = tuple(joining)
        self._credit = credit_of(config, policy, processes, self._rewarded)
        joining += recording(config, policy, processes, recorder, self.sources, self._credit)
        joining += learning(
            config,
            policy,
            engine,
            self.learner,
            self.sources,
            self._objectives,
            self._guidance,
            self._credit,
        )
        self._companions = {companion.name: companion for companion in joining}
        self._failures = Failures(
            recorder.folder.parent,
            share=config.play.failing,
            steps=config.play.failing_steps,
            writes=processes.main,
        )
        self._bad_steps = 0
        self._updates = self._handed_over = 0
        """Steps that were made here, and how many the engine knows of."""
        self._playing: dict[int, int] = {}
        """The step that is played ahead, and of how many the weights knew that play it."""

    def imitate(self, step: int) -> Row:
        examples = self.sources.demonstrations(step, self._train.warmup_demos)
        started = time.monotonic()
        report = self.learner.gradients(examples, self._objectives.warmup)
        cut = self._cut_short(step, report.tokens)
        mix = self.learner.mixed.mix(1.0, learn=False)
        update = self.learner.mixed.step()
        self._check(step, update.finite, report.loss)
        self._updates += 1
        self.hand_over()
        return {
            "mu": 1.0,
            "loss/imitation": report.loss,
            "grad/imitation_norm": mix.imitation_norm,
            "tokens/demo": report.tokens,
            "demos/cut": cut,
            "time/update": time.monotonic() - started,
        }

    def _cut_short(self, step: int, tokens: float) -> int:
        """Demonstrations that the limits cut; where nothing is left of all of a step's, the run ends."""
        cut, emptied = self.sources.cut()
        if emptied and not tokens:
            raise ValueError(
                f"step {step}: limits.max_tokens and limits.max_turns leave no answer of any of its "
                f"demonstrations ({emptied} are longer): raise them (now {self._limits.max_tokens} and "
                f"{self._limits.max_turns}), or take shorter demonstrations"
            )
        return cut

    def mix(self, step: int, number: int) -> Row:
        row: Row = {}
        clock = Clock(row)
        minibatches = self._play(step, number, row, clock)
        epochs = self._train.epochs if self._explores(number) else 1
        updates: list[Row] = []
        finite = True
        for minibatch in minibatches * epochs:
            fresh = [] if updates else minibatches
            own = [self._mix_part(part, minibatch, clock, fresh) for part in self._parts]
            update = self.learner.mixed.step()
            finite = finite and update.finite
            updates.append(together(self._parts, own) | {"grad/norm": update.norm})
            for companion in self._companions.values():
                companion.stepped()
        row |= over_updates(updates, len(minibatches))
        for companion in self._companions.values():
            row |= companion.finished([one.choice for one in minibatches], row)
        imitated = row.get("tokens/demo", 0) or row.get("tokens/stream", 0)
        row["demos/cut"] = self._cut_short(step, imitated)
        self._check(step, finite, row.get("loss/exploration", 0.0))
        self._updates += 1
        if not self._train.ahead:
            self.hand_over()
        clock("time/update")
        return row

    def _play(self, step: int, number: int, row: Row, clock: Clock) -> list[Minibatch]:
        """Draws task instances and plays them, where any part of the step learns from rollouts."""
        groups: list[Group] = []
        staleness = 0
        if self._explores(number):
            done = number / self._train.steps
            if step not in self._playing:
                self.hand_over()
            staleness = self._updates - self._playing.pop(step, self._updates)
            groups, played = self.sources.rollouts(step, self._guidance, done)
            row |= played
            if self._train.ahead:
                row["rollout/staleness"] = staleness
            self._failures.tell(step, row, self.sources.errors)
            for companion in self._companions.values():
                row |= companion.played(step, groups, row)
                clock(companion.time)
            self._play_ahead(step + 1, number + 1)
        parts = self._divided(number, groups)
        chosen = [self._guidance.choose(part, self._processes) for part in parts]
        minibatches = [
            Minibatch(step, number, choice, part, (k, len(chosen)), staleness)
            for k, (choice, part) in enumerate(zip(chosen, parts, strict=True))
        ]
        for part in self._parts:
            if part.explores(number):
                self._credit_part(part, minibatches)
        clock("time/update")
        return minibatches

    def _divided(self, number: int, groups: list[Group]) -> list[list[Group]]:
        """A part for each update; where nothing is explored, demonstrations alone are divided."""
        count = self._train.minibatches
        if self._explores(number):
            return divided(groups, count, self._processes)
        return [[] for _ in range(max(1, min(count, self._train.demos)))]

    def _play_ahead(self, step: int, number: int) -> None:
        """Begins to play the next step's episodes, or lets the engine rest."""
        if self._train.ahead:
            self.hand_over()
        saved = (step - 1) % self._saves_every == 0
        if (
            self._train.ahead
            and number < self._train.steps
            and not saved
            and self._explores(number)
        ):
            self._playing[step] = self._updates
            self.sources.play_ahead(step)
        else:
            self._engine.rest()

    def hand_over(self) -> None:
        """Has the engine answer by the present weights, when it has ended what it is asked for."""
        self.sources.settle()
        if self._handed_over != self._updates:
            self._engine.refresh()
            self._handed_over = self._updates

    def _credit_part(self, part: MixedPart, minibatches: list[Minibatch]) -> None:
        """All of them at once, before the first update."""
        own = [[t for t in one.choice.explore if self._is_of(part, t, one)] for one in minibatches]
        places = {id(t.conversation): (k, t) for k, ts in enumerate(own) for t in ts}
        sizes = [[0.0, 0.0] for _ in self.sources.parts]
        for one in minibatches:
            one.examples[part.name] = []
        examples = self._credit.examples(minibatches[0].step, [t for ts in own for t in ts])
        if self._train.epochs * len(minibatches) > 1:
            examples = self._comparable(examples)
        for example in examples:
            place, episode = places[id(example.conversation)]
            minibatches[place].examples[part.name].append(example)
            size = sizes[self.sources.number_of(episode)]
            if example.advantages is not None:
                size[0] += float(np.abs(example.advantages).mean())
                size[1] += 1
        summed = [self._processes.sum(*size) for size in sizes]
        self.sources.curriculum.credited({k: a / n for k, (a, n) in enumerate(summed) if n})

    def _comparable(self, examples: list[Example]) -> list[Example]:
        """With what the ratios of several updates are to be taken to."""
        if any(example.old_log_probs() is None for example in examples):
            raise ValueError(
                "several updates on the same rollouts need the log-probabilities that they were sampled "
                "with, and this engine does not tell them: train.minibatches=1 train.epochs=1"
            )
        objective = self._objectives.exploration
        return (
            examples if objective.correction is None else self.learner.scored(examples, objective)
        )

    def _explores(self, number: int) -> bool:
        """Whether rollouts are needed: to explore, or for a stream that is made of them."""
        streams = self._objectives.stream is not None
        return streams or any(part.explores(number) for part in self._parts)

    def _is_of(self, part: MixedPart, episode: Trajectory, drawn: Minibatch) -> bool:
        return part.has(self.sources.env_of(episode), drawn.success.get(episode.task))

    def _share(self, part: MixedPart, drawn: Minibatch) -> float:
        """What a part has of the update: where it is made of difficulties, by how many groups are its."""
        if part.success is None:
            return part.weight
        known = [s for s in drawn.success.values() if s is not None]
        own, whole = self._processes.sum(sum(part.has("", s) for s in known), len(known))
        return own / whole if whole else 0.0

    def _mix_part(
        self, part: MixedPart, drawn: Minibatch, clock: Clock, fresh: list[Minibatch]
    ) -> Row:
        """Adds to the update's gradient what a part gives; its figures. `fresh` are the step's rollouts
        before its first update; afterwards there are none."""
        row, look, share = Row(), None, self._share(part, drawn)
        if part.success is not None:
            row["share"] = share
        if part.explores(drawn.number):
            if share:
                self._explore(part, drawn, row, clock)
            if fresh:
                look = self._look(part, drawn, fresh)
        if part.balance.learns and fresh:
            row |= part.balance.update(self._signal(part, drawn, look, row))
        mu = self._mu(part, drawn)
        clock("time/meta")
        if not share:
            return row | {"mu": mu}
        if mu > 0.0 or part.balance.needs_both:
            self._imitate(part, drawn, row)
        row |= self._mixed(part, drawn, mu, row, share)
        clock("time/update")
        return row

    def _mu(self, part: MixedPart, drawn: Minibatch) -> float:
        return part.balance.mu(drawn.number) if drawn.choice.mu is None else drawn.choice.mu

    def _explore(self, part: MixedPart, drawn: Minibatch, row: Row, clock: Clock) -> None:
        """g_R of a part is taken."""
        examples, objective = drawn.examples[part.name], self._objectives.exploration
        noisy = part.balance.measures_noise
        report = self.learner.gradients(
            examples, objective, self._credit.critic, measure_noise=noisy
        )
        if noisy:
            row["grad/exploration_noise"] = report.noise
        row |= {
            "tokens/demo": report.given,
            "loss/exploration": report.loss,
            "policy/entropy": report.entropy,
            "rollout/ratio_error": report.largest_ratio_error,
            "policy/moved": report.moved,
            **report.figures,
        }
        for companion in self._companions.values():
            companion.explored()
        self.learner.mixed.take_exploration()
        clock("time/update")

    def _look(self, part: MixedPart, drawn: Minibatch, fresh: list[Minibatch]) -> Look | None:
        """What the step's rollouts or other data say of the last mixes."""
        if not part.balance.learns or part.name not in self.learner.mixed.z:
            return None
        own = [t for one in fresh for t in one.choice.explore if self._is_of(part, t, one)]
        rewarded = self._rewarded(drawn.step, own)
        at = self._objectives.exploration.temperature
        view = View(
            drawn.number,
            drawn.step,
            part,
            self.learner,
            rewarded,
            self.sources,
            at,
            drawn.staleness,
        )
        return self._utility.look(view)

    def _signal(self, part: MixedPart, drawn: Minibatch, look: Look | None, row: Row) -> Signal:
        """What the balance is told of the step."""
        z_norm, entropy = self.learner.mixed.z_norm(part.name), row.get("policy/entropy")
        if look is None:
            return Signal(drawn.number, z_norm=z_norm, entropy=entropy)
        row |= {"meta/hypergradient": look.product, "meta/error": look.error}
        seen = (look.product, look.error, look.instances)
        return Signal(drawn.number, *seen, z_norm=z_norm, entropy=entropy)

    def _imitate(self, part: MixedPart, drawn: Minibatch, row: Row) -> None:
        """.grad holds g_S of a part, or of what the method has in its place."""
        stream = self._objectives.stream
        if stream is not None:
            examples = stream(self._offered(part, drawn))
        elif part.success is not None:  # the demonstrations of its own task instances
            places = [place for place, ts in drawn.groups if self._is_of(part, ts[0], drawn)]
            examples = self.sources.examples_at(places)
        elif drawn.choice.imitate is None:
            examples = self.sources.demonstrations(
                drawn.step, self._train.demos, part.only, drawn.share
            )
        else:
            examples = self.sources.examples_at(drawn.choice.imitate)
        noisy = part.balance.measures_noise
        report = self.learner.gradients(examples, self._objectives.imitation, measure_noise=noisy)
        if noisy:
            row["grad/imitation_noise"] = report.noise
        row |= {"loss/imitation": report.loss, **report.figures}
        if stream is not None:
            row["tokens/stream"] = report.tokens
        else:
            row["tokens/demo"] = row.get("tokens/demo", 0) + report.tokens

    def _offered(self, part: MixedPart, drawn: Minibatch) -> Offered:
        own = [group for group in drawn.groups if self._is_of(part, group[1][0], drawn)]
        return Offered(self._policy, own, self.sources.demonstration_at)

    def _mixed(self, part: MixedPart, drawn: Minibatch, mu: float, seen: Row, share: float) -> Row:
        """Mixes both gradients of a part into the update's; figures of the mix."""
        mixed, scale = self.learner.mixed, 1.0
        if self._balanced:
            scale = part.scales.update(mixed.exploration_norm(), self.learner.gradient_norm())
        tried: Row = {}
        weight, chosen = 1.0, drawn.choice.mu is not None
        if part.balance.tries and not chosen:
            balance, tasks = part.balance, part.balance.trial_tasks
            worth = self._ahead.success(balance.tries, scale, step=drawn.step, tasks=tasks)
            tried, mu = balance.tried(worth), balance.mu(drawn.number)
        if not chosen:
            noise = [seen.get(f"grad/{name}_noise", 0.0) for name in ("exploration", "imitation")]
            mu, weight = part.balance.weigh(
                drawn.number,
                mu,
                lambda: replace(
                    mixed.gradients(scale),
                    exploration_noise=noise[0],
                    imitation_noise=noise[1] * scale**2,
                ),
            )
        for companion in self._companions.values():
            companion.imitated(mu, scale)
        # Where the guidance said mu, the balance's did nothing, and there is nothing to learn of it.
        learns = part.balance.learns and not chosen
        mix = mixed.mix(mu, scale, learn=learns, part=part.name, weight=share * weight)
        ratio = mix.effective_ratio(mu) * scale
        return tried | {
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

    def _rewarded(self, step: int, episodes: Sequence[Trajectory]) -> Sequence[Trajectory]:
        for companion in self._rewarding:
            episodes = companion.rewarded(step, episodes)
        return episodes

    # Around the steps.

    def begin_exploring(self, folder: Path) -> None:
        """Exploration begins with the weights as they are; what keeps them does so below `folder`."""
        budget = self._train.micro_batch_tokens
        self._objectives.freeze(folder / REFERENCE)
        self._objectives.calibrate(folder / TAU, self._heldout, self._processes, budget)
        for companion in self._companions.values():
            companion.begin()

    def _heldout(self) -> list[Conversation]:
        """Demonstrations to measure on; where the world has no expert, some of those that are trained on."""
        found = self.sources.heldout_demonstrations(0, MEASURED)
        found = found or self.sources.demonstrations(0, MEASURED)
        return [example.conversation for example in found]

    def close(self) -> None:
        self.sources.close()

    def state_dict(self) -> dict[str, Any]:
        return {
            "parts": {part.name: part.state_dict() for part in self._parts},
            "guidance": self._guidance.state_dict(),
            "curriculum": self.sources.curriculum.state_dict(),
            "companions": {name: one.state_dict() for name, one in self._companions.items()},
            "bad_steps": self._bad_steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for part in self._parts:
            part.load_state_dict(state["parts"][part.name])
        self._guidance.load_state_dict(state["guidance"])
        if state.get("curriculum"):
            self.sources.curriculum.load_state_dict(state["curriculum"])
        for name, companion in self._companions.items():
            companion.load_state_dict(state["companions"].get(name, {}))
        self._bad_steps = state["bad_steps"]
