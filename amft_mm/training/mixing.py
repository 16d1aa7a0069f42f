"""What a part of a step adds to the update's gradient, and what it teaches its mu.

mixing.add(drawn, clock, fresh)   -> figures of the mix, of each part

    g_R    gradient of exploration, over the minibatch's rollouts
    look   what the last mixes did for the utility: the balance moves mu by it
    g_S    gradient of imitation, over demonstrations or what the method has in their place
    g      (1 - mu) g_R + mu g_S
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from omegaconf import DictConfig

from amft_mm.config.settings import options_of
from amft_mm.learning.curvature import gradient_along, growth, rescale
from amft_mm.learning.example import Example
from amft_mm.learning.gradients import Tensors
from amft_mm.methods.balance import Signal
from amft_mm.methods.imitation.streams import Offered
from amft_mm.methods.parts import MixedPart
from amft_mm.methods.utility import Look, View, utility
from amft_mm.training.ahead import LookAhead
from amft_mm.training.assembly import Assembly
from amft_mm.training.clock import Clock
from amft_mm.training.companions import Row
from amft_mm.training.minibatches import Minibatch


class Mixing:
    def __init__(self, config: DictConfig, assembly: Assembly) -> None:
        method = config.method
        self._demos = int(config.train.demos)
        self._balanced = bool(method.balanced)
        self._horizon = float(method.horizon)
        self._curved = method.tangent == "curved"
        self._utility = utility(method.utility.name, options_of(method.utility))
        self._with = assembly
        self._ahead = LookAhead(assembly.learner, assembly.sources, assembly.engine)

    def add(self, drawn: Minibatch, clock: Clock, fresh: list[Minibatch]) -> list[Row]:
        """Adds to the update's gradient what each part gives; their figures. `fresh` are the step's rollouts
        before its first update; afterwards there are none."""
        each = zip(self._with.parts, self._shares(drawn), strict=True)
        return [self._add(part, share, drawn, clock, fresh) for part, share in each]

    def _add(
        self,
        part: MixedPart,
        share: float,
        drawn: Minibatch,
        clock: Clock,
        fresh: list[Minibatch],
    ) -> Row:
        row, look = Row(), None
        if len(self._with.parts) > 1:
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
        examples: Sequence[Example] = []
        if mu > 0.0 or part.balance.needs_both:
            examples = self._imitate(part, drawn, row)
        scale, along = self._scale(part), Tensors()
        if self._curved and self._learns(part, drawn) and mu > 0.0:
            along = self._along(part, examples, first=bool(fresh))
        row |= self._mixed(part, drawn, mu, row, share, scale, along)
        clock("time/update")
        return row

    def _shares(self, drawn: Minibatch) -> list[float]:
        """What each part has of the update: where they are difficulties, by how many groups are its own; of
        environments those that are there divide it, as they divide the run."""
        parts = self._with.parts
        if len(parts) == 1:
            return [parts[0].weight]
        if parts[0].success is not None:
            known = [s for s in drawn.success.values() if s is not None]
            own = (sum(part.has("", s) for s in known) for part in parts)
            weights = self._with.processes.sum(*own)
        else:
            there = self._with.processes.sum(*(self._has(part, drawn) for part in parts))
            weights = [
                part.weight if count else 0.0 for part, count in zip(parts, there, strict=True)
            ]
        whole = sum(weights) or 1.0
        return [weight / whole for weight in weights]

    def _has(self, part: MixedPart, drawn: Minibatch) -> int:
        """How much an environment has to learn from in the update."""
        sources, groups = self._with.sources, len(drawn.groups_of(part, self._with.sources))
        imitates = part.balance.needs_both or self._mu(part, drawn) > 0.0
        if self._with.objectives.stream is not None or not imitates:
            return groups
        return groups + sources.count(drawn.step, self._demos, part.only, drawn.share)

    def _mu(self, part: MixedPart, drawn: Minibatch) -> float:
        return part.mu(drawn.number) if drawn.choice.mu is None else drawn.choice.mu

    def _learns(self, part: MixedPart, drawn: Minibatch) -> bool:
        """Where the guidance said mu, the balance's did nothing, and there is nothing to learn of it."""
        return part.balance.learns and drawn.choice.mu is None

    def _explore(self, part: MixedPart, drawn: Minibatch, row: Row, clock: Clock) -> None:
        """g_R of a part is taken."""
        examples, objective = drawn.examples[part.name], self._with.objectives.exploration
        noisy = part.balance.measures_noise
        report = self._with.learner.gradients(
            examples, objective, self._with.credit.critic, measure_noise=noisy
        )
        if noisy:
            row["grad/exploration_noise"] = report.noise
        row |= {
            "tokens/demo": report.given,
            "loss/exploration": report.loss if report.tokens else None,
            "policy/entropy": report.entropy,
            "rollout/ratio_error": report.largest_ratio_error,
            "policy/moved": report.moved,
            **report.figures,
        }
        for companion in self._with.companions.values():
            companion.explored()
        self._with.learner.mixed.take_exploration()
        clock("time/update")

    def _look(self, part: MixedPart, drawn: Minibatch, fresh: list[Minibatch]) -> Look | None:
        """What the step's rollouts or other data say of the last mixes."""
        if not part.balance.learns or part.name not in self._with.learner.mixed.z:
            return None
        own = [t for one in fresh for t in one.explored(part, self._with.sources)]
        rewarded = self._with.rewarded(drawn.step, own)
        at = self._with.objectives.exploration.temperature
        view = View(
            drawn.number,
            drawn.step,
            part,
            self._with.learner,
            rewarded,
            self._with.sources,
            at,
            drawn.staleness,
        )
        return self._utility.look(view)

    def _signal(self, part: MixedPart, drawn: Minibatch, look: Look | None, row: Row) -> Signal:
        """What the balance is told of the step."""
        told = Signal(
            drawn.number,
            z_norm=self._with.learner.mixed.z_norm(part.name),
            horizon=self._horizon,
            entropy=row.get("policy/entropy"),
        )
        if look is None:
            return told
        row |= {"meta/hypergradient": look.product, "meta/error": look.error}
        return replace(told, product=look.product, error=look.error, instances=look.instances)

    def _scale(self, part: MixedPart) -> float:
        """What imitation's gradient, in .grad, is multiplied by."""
        if not self._balanced:
            return 1.0
        learner = self._with.learner
        return part.scales.update(learner.mixed.exploration_norm(), learner.gradient_norm())

    def _along(self, part: MixedPart, examples: Sequence[Example], *, first: bool) -> Tensors:
        """How g_S changes along z, which fades before the first update of a step."""
        fades = self._horizon if first else 1.0
        if not fades:
            return {}
        objective = self._with.objectives.imitation
        along = gradient_along(self._with.learner, part.name, examples, objective)
        for change in along.values():
            change.mul_(fades)
        if self._balanced:
            rescale(along, part.scales.follow(growth(along), fades))
        return along

    def _imitate(self, part: MixedPart, drawn: Minibatch, row: Row) -> Sequence[Example]:
        """.grad holds g_S of a part, or of what the method has in its place: the gradient of these."""
        stream = self._with.objectives.stream
        if stream is not None:
            examples = stream(self._offered(part, drawn))
        elif part.success is not None:  # the demonstrations of its own task instances
            own = drawn.groups_of(part, self._with.sources)
            examples = self._with.sources.examples_at([place for place, _ in own])
        elif drawn.choice.imitate is None:
            examples = self._with.sources.demonstrations(
                drawn.step, self._demos, part.only, drawn.share
            )
        else:
            examples = self._with.sources.examples_at(drawn.choice.imitate)
        noisy = part.balance.measures_noise
        report = self._with.learner.gradients(
            examples, self._with.objectives.imitation, measure_noise=noisy
        )
        if noisy:
            row["grad/imitation_noise"] = report.noise
        row |= {"loss/imitation": report.loss if report.tokens else None, **report.figures}
        if stream is not None:
            row["tokens/stream"] = report.tokens
        else:
            row["tokens/demo"] = row.get("tokens/demo", 0) + report.tokens
        return examples

    def _offered(self, part: MixedPart, drawn: Minibatch) -> Offered:
        own = drawn.groups_of(part, self._with.sources)
        return Offered(self._with.policy, own, self._with.sources.demonstration_at)

    def _mixed(
        self,
        part: MixedPart,
        drawn: Minibatch,
        mu: float,
        seen: Row,
        share: float,
        scale: float,
        along: Tensors,
    ) -> Row:
        """Mixes both gradients of a part into the update's; figures of the mix."""
        mixed = self._with.learner.mixed
        tried: Row = {}
        weight, chosen = 1.0, drawn.choice.mu is not None
        if part.balance.tries and not chosen:
            balance, tasks = part.balance, part.balance.trial_tasks
            worth = self._ahead.success(balance.tries, scale, step=drawn.step, tasks=tasks)
            tried, mu = balance.tried(worth), part.mu(drawn.number)
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
        for companion in self._with.companions.values():
            companion.imitated(mu, scale)
        learns = self._learns(part, drawn)
        mix = mixed.mix(mu, scale, learn=learns, part=part.name, weight=share * weight, along=along)
        ratio = mix.effective_ratio(mu) * scale
        return tried | {
            "mu": mu,
            "grad/imitation_norm": mix.imitation_norm,
            "grad/exploration_norm": mix.exploration_norm,
            "grad/cosine": mix.cosine,
            "grad/effective_ratio": ratio if math.isfinite(ratio) else None,
            "grad/scale": scale,
        }
