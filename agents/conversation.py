"""A conversation as the model has it: token ids that only grow, and the pictures among them.

    observe(text, images)  appends a message and says whether there is room for an answer
    act(ids)               appends the ids that were sampled: what was sampled is what is kept
    say(text)              appends an answer that somebody else wrote (an expert's)
    begin(ids)             appends the beginning of one, for `act` to go on with

Nothing is ever decoded and encoded again, and no picture is ever cut: where the next message would
not fit, it is left out whole and `stopped` names the reason.

With `limits.history` a long conversation goes on in a new window: its first turn, which holds the
instructions, and the last turns, with the very ids that they had. With `limits.thoughts=strip` one is opened
wherever the chat template writes turns that have ended otherwise from now on, as without their thoughts; many
keep the thoughts of all turns since the last message that was no tool's result.
`ids`, `images` and `grids` are those of the window that is open; `windows()` are all of them, each with the
answers that were chosen in it, so that every answer is learnt from as what it was: a continuation of what the
model was shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np

from agents.chat_format import ChatFormat
from agents.pictures import Grid, Reader
from envs.shown import NO_BRIEFING, Briefing


class ChatModel(Protocol):
    """What a conversation needs of its model."""

    @property
    def chat_format(self) -> ChatFormat: ...

    @property
    def pictures(self) -> Reader | None: ...


@dataclass(frozen=True)
class Limits:
    """Bounds of one episode."""

    max_tokens: int = 4096
    """Of the whole conversation, pictures included."""
    max_new_tokens: int = 256
    """Of one answer."""
    max_turns: int = 64
    history: int | None = None
    """Turns that are kept beside the first when a new window is opened, which is when there are twice as
    many. So the last `history` turns are always shown. None: everything is."""
    thoughts: str = "keep"
    """Of earlier turns, where the chat template drops them: keep the ids as they were, or strip."""

    def __post_init__(self) -> None:
        for name in ("max_tokens", "max_new_tokens", "max_turns"):
            if getattr(self, name) < 1:
                raise ValueError(f"limits: {name}={getattr(self, name)} must be at least 1")
        if self.thoughts not in ("keep", "strip"):
            raise ValueError(f"limits: thoughts={self.thoughts!r} must be keep or strip")
        if self.history is not None and self.history < 0:
            raise ValueError(
                f"limits: history={self.history} must be a number of turns, or null for everything"
            )


OUT_OF_TOKENS, OUT_OF_TURNS = "out_of_tokens", "out_of_turns"


@dataclass
class Answer:
    """The ids `start:stop` of a window, which the agent chose. `cut` if they do not end with
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


class Message(NamedTuple):
    """What the world showed in a turn: its pictures, none where they are those of before, and the name of the
    tool whose result it is."""

    text: str
    images: tuple[np.ndarray, ...] = ()
    tool: str = ""


@dataclass(frozen=True)
class Window:
    """What the model was shown at once, and the answers that were chosen there."""

    ids: list[int]
    images: list[np.ndarray]
    grids: list[Grid]
    answers: list[Answer]

    def chosen(self) -> np.ndarray:
        """For every id, whether the agent chose it here and is to learn from it."""
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


class Conversation:
    """One episode's tokens and pictures."""

    def __init__(self, model: ChatModel, limits: Limits | None = None) -> None:
        self._chat_format, self._reader = model.chat_format, model.pictures
        self.limits = limits or Limits()
        self.ids: list[int] = []
        self.images: list[np.ndarray] = []
        self.grids: list[Grid] = []
        self.messages: list[Message] = []
        self.briefing = NO_BRIEFING
        self.answers: list[Answer] = []
        self.stopped: str | None = None
        self._closed: list[Window] = []
        self._turns: list[tuple[int, int]] = []  # where each begins, and its number of pictures
        self._before = 0  # answers of earlier windows
        self._begun = self._begun_unlearnt = 0
        self._since = 0  # the last message that was no tool's result
        self._kept: dict[int, str] = {}  # of answers, where that is not how they were written
        self._guard = 0
        self._guarded = 0

    @property
    def stop_id(self) -> int:
        return self._chat_format.stop_id

    @property
    def image_id(self) -> int | None:
        return self._chat_format.image_id

    def observe(
        self,
        text: str,
        images: np.ndarray | Sequence[np.ndarray] | None = None,
        *,
        tool: str = "",
        briefing: Briefing = NO_BRIEFING,
    ) -> bool:
        """Appends what the world shows: `images` is a picture or several, `tool` whose result it is,
        `briefing` what is told before the first message. False, with nothing appended, where it has no
        room."""
        message = Message(text, _as_pictures(images), tool)
        grids = [self._measure(image) for image in message.images]
        result = bool(self.ids) and self._chat_format.is_result(grids, tool)
        self._forget(result, seen=bool(grids))
        if not self.ids:
            self.briefing = briefing
            new = self._chat_format.opening(text, grids, briefing)
        else:
            new = self._chat_format.following(text, grids, tool)
            if self.ids[-1] != self._chat_format.stop_id:  # an answer that found no end
                new = [self._chat_format.stop_id, *new]
        if len(self.answers) >= self.limits.max_turns:
            self.stopped = OUT_OF_TURNS
        elif len(self.ids) + len(new) + self.limits.max_new_tokens > self.limits.max_tokens:
            self.stopped = OUT_OF_TOKENS
        if self.stopped:
            return False
        self._append(new)
        self.messages.append(message)
        self._since = self._since if result else len(self.messages) - 1
        self._turns.append((len(self.ids) - len(new), len(grids)))
        self.images += message.images
        self.grids += grids
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

    def has_room_for(self, text: str) -> bool:
        """Whether an answer written by another leaves the whole within its limit."""
        return len(self.ids) + len(self._chat_format.answer(text)) <= self.limits.max_tokens

    def say(self, text: str, *, learnt: bool = True, cut: bool = False) -> str:
        """Appends an answer written by another, as this model would have to write it; without an end, where
        a limit `cut` it."""
        ids = self._chat_format.answer(text)
        ids = ids[:-1] if cut else ids
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

    def windows(self) -> list[Window]:
        """Those in which something was chosen, the open one last; the open one where nothing was."""
        mine = self.answers[self._before :]
        now = Window(self.ids, self.images, self.grids, mine)
        return [*self._closed, now] if mine or not self._closed else self._closed

    def chosen(self) -> np.ndarray:
        """For every id of all windows, whether the agent chose it there and is to learn from it."""
        return np.concatenate([window.chosen() for window in self.windows()])

    def given(self) -> np.ndarray:
        """For every id of all windows, whether it is of an answer chosen there, and another wrote it."""
        return np.concatenate([window.given() for window in self.windows()])

    @property
    def length(self) -> int:
        """Ids to be read to learn from it."""
        return sum(len(window.ids) for window in self.windows())

    def said(self, number: int) -> list[int]:
        """The ids of an answer."""
        answer = self.answers[number]
        window = next(w for w in self.windows() if any(a is answer for a in w.answers))
        return window.ids[answer.start : answer.stop]

    def shown(self) -> list[tuple[Message, Answer | None]]:
        """The open window's messages and their answers, the last of which is still to be had."""
        first = len(self.messages) - len(self._turns)
        turns = list(zip(self.messages, [*self.answers, None], strict=False))
        return turns if not first else [turns[0], *turns[first + 1 :]]

    @property
    def opened(self) -> int:
        """How many windows were opened after the first; nothing but the first turn is in all of them."""
        return len(self._closed)

    @property
    def first_turn(self) -> int:
        """Ids of the first turn."""
        return self._bounds()[1] if len(self._turns) > 1 else len(self.ids)

    def _bounds(self) -> list[int]:
        """Where the turns begin, and the end. What ends an answer that found no end is still its turn's."""
        starts = [at + (at > 0 and self.ids[at] == self.stop_id) for at, _ in self._turns]
        return [*starts, len(self.ids)]

    def _forget(self, result: bool, seen: bool) -> None:
        """Opens a new window where there are twice as many turns as are to be kept, and where turns read
        otherwise now that the next message, perhaps a tool's result, is there. Where that has no picture of
        its own, the turn whose picture is still the present one is kept, and what came after it."""
        history, turns = self.limits.history, len(self._turns)
        overflows = history is not None and turns >= 2 and turns - 1 >= 2 * history
        retold = self._retold(result)
        if not overflows and not retold:
            return
        kept = list(range(turns))
        bounds, counts = self._bounds(), [count for _, count in self._turns]
        if overflows and history is not None:
            first = turns - history
            if not seen and (latest := [turn for turn in kept[1:] if counts[turn]]):
                first = min(first, latest[-1])
            kept = [0, *range(first, turns)]
        mine = self.answers[self._before :]
        self._closed.append(Window(self.ids, self.images, self.grids, mine))
        self._before = len(self.answers)
        ends = np.cumsum(counts).tolist()
        places = [place for t in kept for place in range(ends[t] - counts[t], ends[t])]
        self.images = [self.images[place] for place in places]
        self.grids = [self.grids[place] for place in places]
        ids, self.ids, self._turns = self.ids, [], []
        for turn in kept:
            self._turns.append((len(self.ids), counts[turn]))
            self.ids.extend(retold.get(turn) or ids[bounds[turn] : bounds[turn + 1]])
        self._guard, self._guarded = hash(tuple(self.ids)), len(self.ids)

    def _retold(self, result: bool) -> dict[int, list[int]]:
        """The open window's turns that the template writes otherwise from now on, as it does."""
        found: dict[int, list[int]] = {}
        if self.limits.thoughts == "keep":
            return found
        counts, dropped = [count for _, count in self._turns], len(self.messages) - len(self._turns)
        last = len(self.answers) - 1
        for number in range(last if result else self._since, last + 1):
            turn = number - dropped if number else 0
            kept = self._chat_format.kept_of(self.answers[number].text, result=result)
            if kept is None or kept == self._kept.get(number) or (number and turn < 1):
                continue
            self._kept[number] = kept
            message, before = self.messages[number], sum(counts[:turn])
            found[turn] = self._chat_format.past(
                message.text,
                self.grids[before : before + counts[turn]],
                kept,
                tool=message.tool,
                briefing=None if number else self.briefing,
            )
        return found

    def _measure(self, image: np.ndarray) -> Grid:
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


def _as_pictures(images: np.ndarray | Sequence[np.ndarray] | None) -> tuple[np.ndarray, ...]:
    if images is None:
        return ()
    return (images,) if isinstance(images, np.ndarray) else tuple(images)
