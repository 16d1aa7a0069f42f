"""The learner: gradients of losses over whole conversations, and the step on their mix.

    learner.gradients(examples, objective)  adds the gradient of the whole group's loss; says what was seen
    learner.products(part, examples)        what mu did to the log-probability of each
    learner.mixed                           the optimizer's step on the mix (amft_mm/learning/mixed_step.py)

Conversations are read in micro-batches of a token budget. Losses are sums over all processes' totals, so
neither the budget nor the number of processes changes an update.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch

from agents.conversation import Conversation
from agents.policy import Measure, Policy
from amft_mm.learning.batching import by_length
from amft_mm.learning.directional import log_probs_along
from amft_mm.learning.gradients import norm_of
from amft_mm.learning.mixed_step import MixedStep
from amft_mm.learning.optimization import decay_groups, set_lr
from amft_mm.learning.tokens import Loss, Tokens, Totals
from amft_mm.runs.processes import ProcessGroup

Reference = Callable[[Sequence[Conversation]], torch.Tensor]


@dataclass(frozen=True)
class Objective:
    """A loss, and what it has to be told beside the tokens themselves."""

    loss: Loss
    reference: Reference | None = None
    """Other weights' log-probabilities of the chosen tokens."""
    measure: Callable[[Sequence[Conversation]], Measure] | None = None
    """What is to be measured of whole distributions."""
    by_advantage: bool = False
    """Whether its gradient is 0 where advantages are: such conversations are read, without a gradient."""


@dataclass(frozen=True)
class Example:
    """A conversation and, for exploration, what each of its answers is to be credited with."""

    conversation: Conversation
    advantages: np.ndarray | None = None
    """One number an answer."""
    returns: np.ndarray | None = None
    """What the critic should have said before each answer."""
    values: np.ndarray | None = None
    """What it said."""

    outcome: float | None = None
    """1 for success, 0 for none."""
    success_rate: float | None = None
    """Of its group."""

    def token_advantages(self) -> list[float]:
        assert self.advantages is not None
        answers = self.conversation.answers
        lengths = [(answer.stop - answer.start) * answer.learnt for answer in answers]
        return np.repeat(self.advantages, lengths).tolist()

    def token_weights(self) -> np.ndarray:
        """The advantages; 1 for demonstrations, 0 for what an expert wrote in a rollout."""
        conversation = self.conversation
        if self.advantages is None:
            return np.ones(int(conversation.chosen().sum()))
        given = conversation.given()[conversation.chosen()]
        return np.where(given, 0.0, self.token_advantages())

    def old_log_probs(self) -> list[float] | None:
        """As the engine sampled them, NaN for what was given; None where the engine did not tell."""
        answers = [answer for answer in self.conversation.answers if answer.learnt]
        if any(len(a.log_probs) != a.stop - a.start - a.given for a in answers):
            return None
        return [value for a in answers for value in [math.nan] * a.given + a.log_probs]


class Critic(Protocol):
    def learn(self, hidden: torch.Tensor, examples: Sequence[Example]) -> None: ...


@dataclass(frozen=True)
class LossReport:
    """Of all processes together."""

    loss: float
    tokens: int
    sequences: int
    entropy: float
    """Mean over the chosen tokens."""
    largest_ratio_error: float
    """Furthest that a log-probability is from what the engine sampled with (0: nothing to compare)."""
    given: int = 0
    """How many of the tokens an expert wrote, in rollouts that it began."""


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
        self.optimizer = torch.optim.AdamW(
            decay_groups(self.parameters, settings.weight_decay),
            lr=settings.lr,
            betas=settings.betas,
            eps=settings.eps,
        )
        self.mixed = MixedStep(
            self.optimizer, settings.max_norm, settings.horizon, tangent=settings.tangent
        )

    def set_lr(self, lr: float) -> None:
        set_lr(self.optimizer, lr)

    def gradients(
        self,
        examples: Sequence[Example],
        objective: Objective,
        critic: Critic | None = None,
    ) -> LossReport:
        """Adds to .grad. A `critic` learns from the same pass, by a gradient of its own."""
        chosen = sum(int(e.conversation.chosen().sum()) for e in examples)
        tokens, sequences = (int(n) for n in self.processes.sum(chosen, len(examples)))
        totals = Totals(tokens, sequences)
        total = entropy = error = given = 0.0
        known = all(e.old_log_probs() is not None for e in examples)
        (silent,) = self.processes.sum(0.0 if known else 1.0)
        self.policy.model.train()
        still = objective.by_advantage and critic is None
        for part, moves in self._micro_batches(examples, all_move=not still):
            with torch.set_grad_enabled(moves):
                terms, hidden = self._tokens(part, objective, compare=not silent)
                value = objective.loss(terms, totals)
            if critic is not None:
                critic.learn(hidden, part)
            if value.requires_grad:
                value.backward()
            total += float(value.detach())
            entropy += float(terms.entropies.detach().sum())
            given += float((1 - terms.own).sum())
            if terms.old_log_probs is not None and len(terms.log_probs):
                error = max(error, float(terms.log_ratios.detach().abs().max()))
        self.processes.share_gradients(self.parameters)
        total, entropy, given = self.processes.sum(total, entropy, given)
        return LossReport(total, tokens, sequences, entropy / max(tokens, 1), error, round(given))

    def _micro_batches(
        self, examples: Sequence[Example], *, all_move: bool
    ) -> Iterator[tuple[list[Example], bool]]:
        """And whether each moves the weights: groups whose members all fare alike do not. If none does,
        one is taken as if it did: a step of zeros is a step."""
        moving = [all_move or bool(np.any(e.advantages)) for e in examples]
        if examples and not any(moving):
            moving[0] = True
        for moves in (True, False):
            part = [e for e, own in zip(examples, moving, strict=True) if own is moves]
            for batch in by_length(part, self._micro_batch_tokens, lambda e: e.conversation):
                yield batch, moves

    def _tokens(
        self, examples: Sequence[Example], objective: Objective, *, compare: bool
    ) -> tuple[Tokens, torch.Tensor]:
        conversations = [example.conversation for example in examples]
        measure = None if objective.measure is None else objective.measure(conversations)
        scores = self.policy.score(conversations, measure)
        tokens = Tokens(
            scores.log_probs, scores.entropies, scores.lengths, measured=scores.measured
        )
        floats = partial(torch.tensor, device=scores.log_probs.device, dtype=torch.float32)
        if examples[0].advantages is not None:
            given = np.concatenate([c.given()[c.chosen()] for c in conversations])
            tokens.given = floats(given) > 0 if given.any() else None
            tokens.advantages = floats([a for e in examples for a in e.token_advantages()])
            if compare:
                tokens.old_log_probs = floats(
                    [p for e in examples for p in e.old_log_probs() or ()]
                )
        if examples[0].outcome is not None:
            tokens.outcomes = tokens.spread(floats([e.outcome for e in examples]))
            tokens.success_rates = tokens.spread(floats([e.success_rate for e in examples]))
        if objective.reference is not None:
            tokens.reference_log_probs = objective.reference(conversations)
        return tokens, scores.hidden.detach()

    def products(self, part: str, examples: Sequence[Example]) -> list[float]:
        """For each example the derivative by the part's mu of its tokens' log-probabilities, each times its
        answer's advantage (1 where there are none). What an expert wrote in a rollout does not count."""
        z, found = self.mixed.z.get(part, {}), [0.0] * len(examples)
        if not z:
            return found
        numbered = enumerate(examples)
        batches = by_length(
            list(numbered), self._micro_batch_tokens, lambda item: item[1].conversation
        )
        for batch in batches:
            conversations = [example.conversation for _, example in batch]
            along = log_probs_along(self.policy, z, conversations).double().cpu().numpy()
            ends = np.cumsum([int(c.chosen().sum()) for c in conversations])
            for (number, example), moved in zip(batch, np.split(along, ends[:-1]), strict=True):
                found[number] = float(moved @ example.token_weights())
        return found

    def gradient_norm(self) -> float:
        return norm_of({p: p.grad for p in self.parameters if p.grad is not None})

    def drop_gradients(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict(), "mixed": self.mixed.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.mixed.load_state_dict(state["mixed"])
