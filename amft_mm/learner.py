"""The learner: gradients of losses over whole conversations, and the step on their mix.

    learner.gradients(examples, loss)   adds the gradient of the whole team's loss; says what was seen
    learner.mixed                       the optimizer's step on the mix (amft_mm/balance/mixed_step.py)

Conversations are read in micro-batches of a token budget. Losses are sums over the team's totals, so
neither the budget nor the number of processes changes an update.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from agents.conversation import Conversation
from agents.policy import Policy
from amft_mm.balance.mixed_step import MixedStep, norm_of
from amft_mm.batching import by_length
from amft_mm.optimization import decay_groups
from amft_mm.team import Team
from amft_mm.tokens import Tokens, Totals

Loss = Callable[[Tokens, Totals], torch.Tensor]
Reference = Callable[[Sequence[Conversation]], torch.Tensor]


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

    def token_advantages(self) -> list[float]:
        assert self.advantages is not None
        lengths = [answer.stop - answer.start for answer in self.conversation.answers]
        return np.repeat(self.advantages, lengths).tolist()

    def old_log_probs(self) -> list[float] | None:
        """As the engine sampled them; None where it did not tell."""
        answers = self.conversation.answers
        if any(len(answer.log_probs) != answer.stop - answer.start for answer in answers):
            return None
        return [log_prob for answer in answers for log_prob in answer.log_probs]


class Critic(Protocol):
    def learn(self, hidden: torch.Tensor, examples: Sequence[Example]) -> None: ...


@dataclass(frozen=True)
class LossReport:
    """Of the whole team."""

    loss: float
    tokens: int
    sequences: int
    entropy: float
    """Mean over the chosen tokens."""
    largest_ratio_error: float
    """Furthest that a log-probability is from what the engine sampled with (0: nothing to compare)."""


@dataclass(frozen=True)
class OptimizerSettings:
    lr: float
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.01
    max_norm: float | None = 1.0
    horizon: float = 0.0
    """rho of z: how much of the effect of earlier steps' mu is looked at."""


class Learner:
    def __init__(
        self, policy: Policy, settings: OptimizerSettings, team: Team, micro_batch_tokens: int
    ) -> None:
        self.policy, self.team = policy, team
        self._micro_batch_tokens = micro_batch_tokens
        self.parameters = [p for p in policy.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            decay_groups(self.parameters, settings.weight_decay),
            lr=settings.lr,
            betas=settings.betas,
            eps=settings.eps,
        )
        self.mixed = MixedStep(self.optimizer, settings.max_norm, settings.horizon)

    def set_lr(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def gradients(
        self,
        examples: Sequence[Example],
        loss: Loss,
        reference: Reference | None = None,
        critic: Critic | None = None,
    ) -> LossReport:
        """Adds to .grad. `reference` gives other weights' log-probabilities of the chosen tokens; a
        `critic` learns from the same pass, by a gradient of its own."""
        chosen = sum(int(e.conversation.chosen().sum()) for e in examples)
        tokens, sequences = (int(n) for n in self.team.sum(chosen, len(examples)))
        totals = Totals(tokens, sequences)
        total = entropy = error = 0.0
        told = all(e.old_log_probs() is not None for e in examples)
        (silent,) = self.team.sum(0.0 if told else 1.0)
        self.policy.model.train()
        for part in by_length(examples, self._micro_batch_tokens, lambda e: e.conversation):
            terms, error_here, hidden = self._tokens(part, reference, compare=not silent)
            value = loss(terms, totals)
            if critic is not None:
                critic.learn(hidden, part)
            if value.requires_grad:
                value.backward()
            total += float(value.detach())
            entropy += float(terms.entropies.detach().sum())
            error = max(error, error_here)
        self.team.share_gradients(self.parameters)
        total, entropy = self.team.sum(total, entropy)
        return LossReport(total, tokens, sequences, entropy / max(tokens, 1), error)

    def _tokens(
        self,
        examples: Sequence[Example],
        reference: Reference | None,
        *,
        compare: bool,
    ) -> tuple[Tokens, float, torch.Tensor]:
        conversations = [example.conversation for example in examples]
        scores = self.policy.score(conversations)
        device = scores.log_probs.device
        tokens = Tokens(scores.log_probs, scores.entropies, scores.lengths)
        error = 0.0
        if compare and examples[0].advantages is not None:
            flat = [log_prob for e in examples for log_prob in e.old_log_probs() or ()]
            tokens.old_log_probs = torch.tensor(flat, device=device, dtype=torch.float32)
            error = float(tokens.log_ratios.detach().abs().max()) if flat else 0.0
        if examples[0].advantages is not None:
            credit = [a for example in examples for a in example.token_advantages()]
            tokens.advantages = torch.tensor(credit, device=device, dtype=torch.float32)
        if reference is not None:
            tokens.reference_log_probs = reference(conversations)
        return tokens, error, scores.hidden.detach()

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
