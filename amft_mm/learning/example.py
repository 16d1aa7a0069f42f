"""What is learnt from: a conversation and, for exploration, what each of its answers is credited with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from agents.conversation import Conversation


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
    scored: tuple[float, ...] | None = None
    """Its tokens' log-probabilities by the learner before the step's first update, for several updates on the
    same examples; None says: under the present weights."""

    told: Conversation | None = None
    """The same answers where more is said beforehand: what a teacher reads."""

    def counts(self) -> tuple[int, int, int, int, int]:
        """What `Totals` adds up."""
        chosen = self.conversation.chosen()
        given = (
            int((self.conversation.given() & chosen).sum()) if self.advantages is not None else 0
        )
        own = int(chosen.sum()) - given
        won, lost = own * (self.outcome == 1), own * (self.outcome == 0)
        return own + given, 1, given, won, lost

    def token_advantages(self) -> list[float]:
        assert self.advantages is not None
        answers = self.conversation.answers
        lengths = [answer.stop - answer.first_learnt for answer in answers]
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
        return [value for a in answers for value in [math.nan] * a.given_learnt + a.log_probs]
