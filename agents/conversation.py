"""A conversation as the model has it: token ids that only ever grow, and the pictures among them.

    observe(text, image)  appends a message and says whether there is room for an answer
    act(ids)              appends the ids that were sampled: what was sampled is what is kept
    say(text)             appends an answer that somebody else wrote (an expert's)
    begin(ids)            appends the beginning of one, for `act` to go on with

Nothing is ever decoded and encoded again, and no picture is ever cut: where the next message would
not fit, it is left out whole and `stopped` names the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from agents.chat_format import ChatFormat
from agents.pictures import Grid, PictureReader


class ChatModel(Protocol):
    """What a conversation needs of its model."""

    @property
    def chat_format(self) -> ChatFormat: ...

    @property
    def pictures(self) -> PictureReader | None: ...


@dataclass(frozen=True)
class Limits:
    """Bounds of one episode."""

    max_tokens: int = 4096
    """Of the whole conversation, pictures included."""
    max_new_tokens: int = 256
    """Of one answer."""
    max_turns: int = 64

    def __post_init__(self) -> None:
        for name in ("max_tokens", "max_new_tokens", "max_turns"):
            if getattr(self, name) < 1:
                raise ValueError(f"limits: {name}={getattr(self, name)} must be at least 1")


OUT_OF_TOKENS, OUT_OF_TURNS = "out_of_tokens", "out_of_turns"


@dataclass
class Answer:
    """The ids `start:stop` of a conversation, which the agent chose. `cut` if they do not end with
    the model's stop token.

    Log-probabilities are of what was sampled, under the model at the sampling temperature and under the
    distribution that was sampled from; there are none for what an expert wrote.
    """

    start: int
    stop: int
    text: str
    cut: bool = False
    log_probs: list[float] = field(default_factory=list)
    sampled_log_probs: list[float] = field(default_factory=list)
    given: int = 0
    """How many of its first ids another wrote."""
    learnt: bool = True
    """Whether it is to be learnt from. A slip that a demonstration shows, to mend it, is not."""
    unlearnt: int = 0
    """How many of its first ids, which another wrote, are gone on from and not learnt from."""

    @property
    def first_learnt(self) -> int:
        return self.start + self.unlearnt if self.learnt else self.stop

    @property
    def given_learnt(self) -> int:
        """How many of the ids that are learnt from another wrote."""
        return self.given - self.unlearnt if self.learnt else 0


class Conversation:
    """One episode's tokens and pictures."""

    def __init__(self, model: ChatModel, limits: Limits | None = None) -> None:
        self._chat_format, self._reader = model.chat_format, model.pictures
        self.limits = limits or Limits()
        self.ids: list[int] = []
        self.images: list[np.ndarray] = []
        self.grids: list[Grid] = []
        self.messages: list[tuple[str, np.ndarray | None]] = []
        self.answers: list[Answer] = []
        self.stopped: str | None = None
        self._begun = self._begun_unlearnt = 0
        self._guard = 0
        self._guarded = 0

    @property
    def stop_id(self) -> int:
        return self._chat_format.stop_id

    @property
    def image_id(self) -> int | None:
        return self._chat_format.image_id

    def observe(self, text: str, image: np.ndarray | None = None) -> bool:
        """Appends what the world shows. False, with nothing appended, where it has no room."""
        grid = self._measure(image)
        if not self.ids:
            new = self._chat_format.opening(text, grid)
        else:
            new = self._chat_format.following(text, grid)
            if self.ids[-1] != self._chat_format.stop_id:  # an answer that found no end
                new = [self._chat_format.stop_id, *new]
        if len(self.answers) >= self.limits.max_turns:
            self.stopped = OUT_OF_TURNS
        elif len(self.ids) + len(new) + self.limits.max_new_tokens > self.limits.max_tokens:
            self.stopped = OUT_OF_TOKENS
        if self.stopped:
            return False
        self._append(new)
        self.messages.append((text, image))
        if image is not None and grid is not None:
            self.images.append(image)
            self.grids.append(grid)
        return True

    def act(
        self,
        ids: list[int],
        log_probs: list[float] | None = None,
        sampled_log_probs: list[float] | None = None,
    ) -> str:
        """Appends sampled ids, the stop token included where there is one; returns what they say."""
        if self.image_id is not None and self.image_id in ids:
            raise ValueError(
                "an answer holds a picture's placeholder: engines must never sample it"
            )
        given, self._begun = self._begun, 0
        unlearnt, self._begun_unlearnt = self._begun_unlearnt, 0
        start = len(self.ids) - given
        self._append(ids)
        text = self._chat_format.text(self.ids[start:])
        cut = not ids or ids[-1] != self._chat_format.stop_id
        answer = Answer(start, len(self.ids), text, cut, log_probs or [], sampled_log_probs or [])
        self.answers.append(replace(answer, given=given, unlearnt=unlearnt))
        return text

    def say(self, text: str, *, learnt: bool = True) -> str:
        """Appends an answer written by another, as this model would have to write it."""
        ids = self._chat_format.answer(text)
        said = self.act(ids)
        self.answers[-1] = replace(self.answers[-1], given=len(ids), learnt=learnt)
        return said

    def begin(self, ids: list[int], *, learnt: bool = True) -> bool:
        """Appends the beginning of an answer. False, with nothing appended, where the rest would then
        have no room."""
        if len(self.ids) + len(ids) + self.limits.max_new_tokens > self.limits.max_tokens:
            return False
        self._append(ids)
        self._begun, self._begun_unlearnt = len(ids), 0 if learnt else len(ids)
        return True

    def chosen(self) -> np.ndarray:
        """For every id, whether the agent chose it and is to learn from it."""
        mask = np.zeros(len(self.ids), bool)
        for answer in self.answers:
            mask[answer.first_learnt : answer.stop] = True
        return mask

    def given(self) -> np.ndarray:
        """For every id, whether it is of an answer, and another wrote it."""
        mask = np.zeros(len(self.ids), bool)
        for answer in self.answers:
            mask[answer.start : answer.start + answer.given] = True
        return mask

    def _measure(self, image: np.ndarray | None) -> Grid | None:
        if image is None:
            return None
        if self._reader is None:
            raise ValueError(
                "this model reads text alone, but the world shows pictures: use modality='text' "
                "or a model that sees"
            )
        return self._reader.measure(image)

    def _append(self, new: list[int]) -> None:
        if hash(tuple(self.ids)) != self._guard and self._guarded:
            raise AssertionError("a conversation's ids were changed: they only ever grow")
        self.ids.extend(new)
        self._guard, self._guarded = hash(tuple(self.ids)), len(self.ids)
