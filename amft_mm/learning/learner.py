"""The learner: gradients of losses over whole conversations, and the step on their mix.

    learner.gradients(examples, objective)  adds the gradient of the whole group's loss; says what was seen
    learner.products(part, examples)        what mu did to the log-probability of each
    learner.ratios(examples)                how much likelier each is than when it was sampled
    learner.mixed                           the optimizer's step on the mix (amft_mm/learning/mixed_step.py)

Conversations are read in micro-batches of a token budget. Losses are sums over all processes' totals, so
neither the budget nor the number of processes changes an update.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
import torch

from agents.conversation import Conversation
from agents.policy import Policy
from agents.sharding import whole
from amft_mm.learning.batching import Item, by_length
from amft_mm.learning.correction import Correction
from amft_mm.learning.directional import JustScored, log_probs_along
from amft_mm.learning.example import Example
from amft_mm.learning.gradients import Tensors, norm_of
from amft_mm.learning.mixed_step import MixedStep
from amft_mm.learning.noise import Half
from amft_mm.learning.objective import Objective
from amft_mm.learning.optimization import decay_groups, moments, put_moments, set_lr
from amft_mm.learning.tokens import LARGEST_LOG_RATIO, Tokens, Totals
from amft_mm.runs.processes import ProcessGroup


class Critic(Protocol):
    def learn(self, hidden: torch.Tensor, examples: Sequence[Example]) -> None: ...


@dataclass(frozen=True)
class LossReport:
    """Of all processes together."""

    loss: float
    tokens: int
    sequences: int
    entropy: float | None
    """Mean over the chosen tokens that no expert wrote in a rollout; None where there are none."""
    largest_ratio_error: float
    """Furthest that a log-probability is from what the engine sampled with (0: nothing to compare)."""
    given: int = 0
    """How many of the tokens an expert wrote, in rollouts that it began."""
    figures: dict[str, float] = field(default_factory=dict)
    """Means of what the loss and the correction noted."""
    moved: float = 0.0
    """Largest absolute logarithm of a ratio."""
    noise: float = 0.0
    """The variance of the gradient, all coordinates together, where that was measured."""


@dataclass(frozen=True)
class OptimizerSettings:
    lr: float
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.01
    max_norm: float | None = 1.0
    horizon: float = 0.0
    """What the effect of a mix still counts a step later (amft_mm/learning/tangent.py)."""
    tangent: str = "exact"
    """How exactly that effect is followed."""
    several: bool = False
    """Whether a step may make more than one update."""

    def optimizer(self, parameters: Sequence[torch.Tensor]) -> torch.optim.AdamW:
        return torch.optim.AdamW(
            decay_groups(parameters, self.weight_decay),
            lr=self.lr,
            betas=self.betas,
            eps=self.eps,
        )


class Learner:
    def __init__(
        self,
        policy: Policy,
        settings: OptimizerSettings,
        processes: ProcessGroup,
        micro_batch_tokens: int,
    ) -> None:
        self.policy, self.processes = policy, processes
        self._micro_batch_tokens = micro_batch_tokens
        self.parameters = [p for p in policy.model.parameters() if p.requires_grad]
        self._just_scored = JustScored(policy, self.parameters)
        self.optimizer = settings.optimizer(self.parameters)
        self.mixed = MixedStep(
            self.optimizer,
            settings.max_norm,
            settings.horizon,
            tangent=settings.tangent,
            several=settings.several,
        )

    @property
    def lr(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def set_lr(self, lr: float) -> None:
        set_lr(self.optimizer, lr)

    def gradients(
        self,
        examples: Sequence[Example],
        objective: Objective,
        critic: Critic | None = None,
        *,
        measure_noise: bool = False,
    ) -> LossReport:
        """Adds to .grad. A `critic` learns from the same pass, by a gradient of its own. The noise of the
        gradient is measured by how two halves of the examples differ; it takes one more copy of it."""
        counts = np.sum([e.counts() for e in examples], axis=0, dtype=int) if examples else [0] * 5
        totals = Totals(*(int(n) for n in self.processes.sum(*counts)))
        total = entropy = error = moved = 0.0
        notes: list[dict[str, tuple[float, int]]] = []
        known = all(e.old_log_probs() is not None for e in examples)
        (silent,) = self.processes.sum(0.0 if known else 1.0)
        self.policy.model.train()
        still = objective.by_advantage and critic is None
        half = Half(self.parameters, len(examples) // 2) if measure_noise else None
        for part, moves in self._micro_batches(examples, not still, half):
            with torch.set_grad_enabled(moves):
                if not part:
                    self._idle_pass(objective)
                    continue
                terms, hidden = self._tokens(part, objective, compare=not silent)
                value = objective.value(terms, totals)
                if moves and self.policy.sharded is not None and not value.requires_grad:
                    value = value + terms.log_probs.sum() * 0.0  # all go backward, or none
            if critic is not None:
                critic.learn(hidden, part)
            if value.requires_grad:
                value.backward()
            total += float(value.detach())
            entropy += float((terms.entropies.detach() * terms.own).sum())
            if terms.log_k is not None and len(terms.log_k):
                error = max(error, float(terms.log_k.abs().max()))
                moved = max(moved, float(terms.log_ratios.detach().abs().max()))
            notes.append(terms.notes)
        noise = 0.0 if half is None else self._noise(half, len(examples))
        self.processes.share_gradients(self.parameters)
        total, entropy = self.processes.sum(total, entropy)
        error, moved = self.processes.most(error, moved)
        figures = means_of(self.processes.gather(notes))
        own = totals.tokens - totals.given
        return LossReport(
            total,
            totals.tokens,
            totals.sequences,
            entropy / own if own else None,
            error,
            totals.given,
            figures,
            moved,
            noise,
        )

    def _noise(self, half: Half, count: int) -> float:
        """The variance of all processes' gradient. What a process with a single example can not tell of its
        part is taken to be as with the others."""
        if self.policy.sharded is not None:  # each one's gradient is all processes'
            return half.noise(*self.processes.sum(half.count, count))
        own, told = half.noise(half.count, count), count if half.count else 0
        noise, told_of, whole = self.processes.sum(own, told, count)
        return noise * whole / told_of if told_of else 0.0

    @torch.no_grad()
    def scored(self, examples: Sequence[Example], objective: Objective) -> list[Example]:
        """The examples with their log-probabilities under the present weights: what several updates on them
        compare with, where the engine's are corrected for."""
        own = self._scores(examples, objective.temperature)
        return [replace(e, scored=tuple(s.tolist())) for e, s in zip(examples, own, strict=True)]

    @torch.no_grad()
    def ratios(self, examples: Sequence[Example], temperature: float = 1.0) -> list[float]:
        """For each example how much likelier it is by the present weights than by those that played it:
        the product of its tokens' ratios, without what was given."""
        own = self._scores(examples, temperature)
        found = []
        for example, now in zip(examples, own, strict=True):
            played = example.old_log_probs()
            if played is None:
                raise ValueError(
                    "rollouts that older weights played are weighed by the log-probabilities that they were "
                    "sampled with, and this engine does not tell them: train.ahead=0"
                )
            moved = float(np.nansum(now.double().cpu().numpy() - np.array(played)))
            found.append(math.exp(max(-LARGEST_LOG_RATIO, min(moved, LARGEST_LOG_RATIO))))
        return found

    def _scores(self, examples: Sequence[Example], temperature: float) -> list[torch.Tensor]:
        """Of each the log-probabilities of its tokens, read now where the last passes did not."""
        with self.policy.gathered():
            self.policy.model.eval()  # what is read now, which where weights are sharded is another
            found = [self._just_scored.of(e.conversation, temperature) for e in examples]
            unknown = [n for n, known in enumerate(found) if known is None]
            for batch in self._passes(unknown, lambda n: examples[n].conversation):
                conversations = [examples[n].conversation for n in batch]
                scores = self.policy.score(conversations, temperature=temperature)
                self._just_scored.note(conversations, scores, temperature)
                for n, own in zip(batch, scores.log_probs.split(scores.lengths), strict=True):
                    found[n] = own
        return [own for own in found if own is not None]

    def _micro_batches(
        self, examples: Sequence[Example], all_move: bool, half: Half | None
    ) -> Iterator[tuple[list[Example], bool]]:
        """Of all examples, or of the first half of them and then, when that is over, of the second."""
        if half is None:
            yield from self._ordered(examples, all_move)
            return
        yield from self._ordered(examples[: half.count], all_move)
        half.over()
        yield from self._ordered(examples[half.count :], all_move)

    def _ordered(
        self, examples: Sequence[Example], all_move: bool
    ) -> Iterator[tuple[list[Example], bool]]:
        """And whether each moves the weights: groups whose members all fare alike do not. If none does,
        one is taken as if it did: a step of zeros is a step. Where weights are sharded, empty ones make
        them as many as other processes have."""
        moving = [all_move or bool(np.any(e.advantages)) for e in examples]
        if examples and not any(moving):
            moving[0] = True
        for moves in (True, False):
            part = [e for e, own in zip(examples, moving, strict=True) if own is moves]
            batches = list(self._passes(part, lambda e: e.conversation))
            if self.policy.sharded is not None:
                (most,) = self.processes.most(len(batches))
                batches += [[]] * (int(most) - len(batches))
            for batch in batches:
                yield batch, moves

    def _passes(
        self, items: Sequence[Item], conversation: Callable[[Item], Conversation]
    ) -> Iterator[list[Item]]:
        return by_length(items, self._micro_batch_tokens, conversation, self.policy.opening_of)

    def _idle_pass(self, objective: Objective) -> None:
        """Takes part in what other processes read, with nothing of its own to learn from."""
        terms, _ = self._tokens([self._nothing], objective, compare=False)
        if terms.log_probs.requires_grad:
            (terms.log_probs.sum() * 0.0).backward()

    @cached_property
    def _nothing(self) -> Example:
        """The shortest conversation that there is."""
        conversation = Conversation(self.policy)
        conversation.observe("")
        conversation.act([conversation.stop_id])
        return Example(conversation, told=conversation)

    def _tokens(
        self, examples: Sequence[Example], objective: Objective, *, compare: bool
    ) -> tuple[Tokens, torch.Tensor]:
        conversations = [example.conversation for example in examples]
        measure = None if objective.measure is None else objective.measure(examples)
        # Others' passes come before the one that is gone back through.
        reference = None if objective.reference is None else objective.reference(conversations)
        scores = self.policy.score(conversations, measure, objective.temperature)
        tokens = Tokens(
            scores.log_probs, scores.entropies, scores.lengths, measured=scores.measured
        )
        floats = partial(torch.tensor, device=scores.log_probs.device, dtype=torch.float32)
        if examples[0].advantages is not None:
            given = np.concatenate([c.given()[c.chosen()] for c in conversations])
            tokens.given = floats(given) > 0 if given.any() else None
            self._just_scored.note(conversations, scores, objective.temperature)
            tokens.advantages = floats([a for e in examples for a in e.token_advantages()])
            if compare:
                told = [p for e in examples for p in e.old_log_probs() or ()]
                scored = [p for e in examples for p in e.scored or ()]
                mine = floats(scored) if len(scored) == len(told) else scores.log_probs.detach()
                compare_with_engine(tokens, floats(told), mine, objective.correction)
        if examples[0].outcome is not None:
            tokens.outcomes = tokens.spread(floats([e.outcome for e in examples]))
            tokens.success_rates = tokens.spread(floats([e.success_rate for e in examples]))
        tokens.reference_log_probs = reference
        return tokens, scores.hidden.detach()

    def products(
        self, part: str, examples: Sequence[Example], temperature: float = 1.0
    ) -> list[float]:
        """For each example the derivative by the part's mu of its tokens' log-probabilities, each times its
        answer's advantage (1 where there are none). What an expert wrote in a rollout does not count."""
        z = self.mixed.z.get(part, {})
        if not z:
            return [0.0] * len(examples)
        with self.policy.gathered() as twins, torch.no_grad():
            here = {twins[p]: whole(d).to(twins[p].dtype) for p, d in z.items()}
            return self._products(here, examples, temperature)

    def _products(self, z: Tensors, examples: Sequence[Example], temperature: float) -> list[float]:
        found = [0.0] * len(examples)
        scored = [self._just_scored.of(e.conversation, temperature) for e in examples]
        known = [n for n, log_probs in enumerate(scored) if log_probs is not None]
        unknown = [n for n, log_probs in enumerate(scored) if log_probs is None]
        for places in (known, unknown):
            for batch in self._passes(places, lambda n: examples[n].conversation):
                conversations = [examples[n].conversation for n in batch]
                here = [log_probs for n in batch if (log_probs := scored[n]) is not None]
                along = log_probs_along(
                    self.policy, z, conversations, temperature, torch.cat(here) if here else None
                )
                sizes = [int(c.chosen().sum()) for c in conversations]
                for n, moved in zip(batch, along.cpu().split(sizes), strict=True):
                    found[n] = float(moved.numpy() @ examples[n].token_weights())
        return found

    def gradient_norm(self) -> float:
        return norm_of({p: p.grad for p in self.parameters if p.grad is not None})

    def drop_gradients(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        names = self.policy.names()
        return {
            "optimizer": moments(self.optimizer, names),
            "mixed": self.mixed.state_dict(names),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        names = self.policy.names()
        put_moments(self.optimizer, names, state["optimizer"])
        self.mixed.load_state_dict(state["mixed"], names)


def compare_with_engine(
    tokens: Tokens, engine: torch.Tensor, mine: torch.Tensor, correction: Correction | None
) -> None:
    """Says what tokens' ratios are against, and what tokens count: see amft_mm/learning/correction.py. `mine`
    are the learner's own log-probabilities under the weights that sampled, NaN in `engine` what was given."""
    own = ~engine.isnan()
    log_k = tokens.log_k = torch.where(own, mine - engine, torch.zeros_like(mine))
    tokens.note("rollout/ratio_mean", log_k[own].clamp(max=LARGEST_LOG_RATIO).exp())
    tokens.note("rollout/ratio_kl", -log_k[own])
    if correction is None:
        tokens.old_log_probs = engine
    else:
        tokens.old_log_probs = torch.where(own, mine, engine)
        tokens.weights = torch.where(own, correction(tokens, log_k), 1.0)


def means_of(notes: Sequence[dict[str, tuple[float, int]]]) -> dict[str, float]:
    """Of what many micro-batches noted."""
    names = sorted({name for one in notes for name in one})
    sums = {name: np.sum([one[name] for one in notes if name in one], axis=0) for name in names}
    return {name: float(total / max(count, 1)) for name, (total, count) in sums.items()}
