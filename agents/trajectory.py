"""An episode that was played: a demonstration, a rollout and an evaluation are all of this type."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from agents.conversation import OUT_OF_TOKENS, OUT_OF_TURNS, Conversation
from agents.image_features import name_of

ERROR = "error"


@dataclass(frozen=True)
class Turn:
    """What one answer led to."""

    reward: float
    verdict: str | None
    feedback: str
    facts: dict[str, Any] = field(default_factory=dict)
    """What the world knew when the answer was given."""
    expert: str | None = None
    """What an expert would have answered, where that was asked for."""
    seconds: float = field(default=0.0, compare=False)
    """From when the answer was asked for until it was there, waiting for a place in the batch included."""


@dataclass
class Trajectory:
    """`conversation.answers[i]` is what the agent chose at turn i, `turns[i]` what came of it.

    `stop` says why it ended: the world's reason (`success`, `out_of_attempts`, ...), the
    conversation's (`out_of_tokens`, `out_of_turns`), or `error`, with `error` saying what happened.
    """

    conversation: Conversation
    world: str
    task: int
    """Number of the task instance among those played together; members of a group share it."""
    member: int
    seed: int
    """Of the environment's reset."""
    turns: list[Turn] = field(default_factory=list)
    success: bool = False
    stop: str = ""
    error: dict[str, Any] | None = None
    earlier: list[dict[str, Any]] = field(default_factory=list)
    """The errors of the tries before this one."""
    written_earlier: int = 0
    """Tokens that the agent wrote in those."""
    aided: bool = False
    """Whether an expert's answers were given to it to begin with."""
    tries: int = 1
    """How often it was begun: more than once where earlier tries failed."""

    @property
    def rewards(self) -> list[float]:
        return [turn.reward for turn in self.turns]

    @property
    def total_reward(self) -> float:
        return sum(self.rewards)

    @property
    def flawless(self) -> bool:
        """Whether it succeeded without an answer that cost something. Worlds that allow several attempts may
        also be solved by trying what is left."""
        return self.success and min(self.rewards, default=0.0) >= 0

    @property
    def failed(self) -> bool:
        """Whether it has to be kept out of every loss."""
        return self.stop == ERROR

    @property
    def errors(self) -> list[dict[str, Any]]:
        """Of all its tries."""
        return [*self.earlier, *([self.error] if self.error else [])]

    @property
    def written(self) -> int:
        """Tokens that the agent wrote, in all its tries; what a demonstration gave is none of them."""
        own = self.conversation.chosen() & ~self.conversation.given()
        return self.written_earlier + int(own.sum())

    @property
    def cut(self) -> bool:
        """Whether a limit ended it, and not the world: of tokens, of turns, or of its last answer."""
        last = self.conversation.answers[-1:]
        return self.stop in (OUT_OF_TOKENS, OUT_OF_TURNS) or any(answer.cut for answer in last)

    def states(self) -> list[str]:
        """For each answer a key of the state that the world was in: what it calls `state_key` in its
        info, else what it showed, text and pictures. Equal states have equal keys."""
        keys, pictures = [], ""
        for number, message in enumerate(self.conversation.messages):
            if message.images:  # none: they are those of before
                pictures = repr([name_of(image) for image in message.images])
            known = self.turns[number].facts if number < len(self.turns) else {}
            own = known.get("state_key")
            shown = hashlib.sha256(f"{message.text}\0{pictures}".encode()).hexdigest()
            keys.append(shown if own is None else f"key {own}")
        return keys[: len(self.conversation.answers)]


def by_task(trajectories: Iterable[Trajectory]) -> dict[int, list[Trajectory]]:
    """The groups: episodes of the same task instance, in order."""
    groups: dict[int, list[Trajectory]] = {}
    for trajectory in trajectories:
        groups.setdefault(trajectory.task, []).append(trajectory)
    return groups
