"""An agent's answer to V-IRL, read from whatever text it wrote. Never raises, bounded in time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from envs.answers import read_answer
from envs.virl.actions import Action, Style, find_action, read_action, read_brief_action

KEYS = ("current observation", "current instruction", "action")
_LONGEST_FIELD = 2000
_NO_INTERSECTION = re.compile(
    r"(?:\b(?:no|not|without|never)|n['’]t)\b[^.;]{0,30}\bintersection", re.I
)


@dataclass(frozen=True)
class Answer:
    """What was said; None for what was not said. `action` is None if it is not an action."""

    observation: str | None
    instruction: str | None
    action: Action | None
    action_words: str

    @property
    def says_intersection(self) -> bool | None:
        """Whether the observation claims an intersection; None without an observation."""
        if self.observation is None:
            return None
        claimed = "intersection" in self.observation.lower()
        return claimed and not _NO_INTERSECTION.search(self.observation)

    def names(self, index: int, sentences: Sequence[str]) -> bool | None:
        """Whether the instruction that was named, by number or by its words, is that one; None if nothing
        was named. Of equal sentences each is named by their words."""
        if self.instruction is None:
            return None
        number = re.match(r"\s*#?(\d{1,4})(?!\d)", self.instruction)
        if number:
            return int(number[1]) - 1 == index
        return _plain(self.instruction) == _plain(sentences[index])


def read(text: str, style: Style) -> Answer:
    """Reads the answer object of a text; without one, the last action written as a call."""
    fields = read_answer(text, KEYS)
    if fields is None:
        action = find_action(text, style)
        return Answer(None, None, action, _quote(str(action) if action else text))
    said = fields.get("action")
    return Answer(
        observation=_words(fields.get("current observation")),
        instruction=_words(fields.get("current instruction")),
        action=read_action(said, style),
        action_words=_quote(said if isinstance(said, str) else repr(said)[:100]),
    )


def read_short(text: str, style: Style) -> Answer:
    """Reads the last line of a text, which is to be `INSTRUCTION: ACTION` or just `ACTION`."""
    lines = [line.strip() for line in text[-_LONGEST_FIELD:].splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    named, _, said = last.rpartition(":")
    return Answer(
        observation=None,
        instruction=_words(named.strip()),
        action=read_brief_action(said, style),
        action_words=_quote(said.strip() or last),
    )


def _words(value: Any) -> str | None:
    """A field as text; None where nothing was said."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return value[:_LONGEST_FIELD] if value.strip() else None
    return repr(value)[:_LONGEST_FIELD]


def _plain(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()


def _quote(text: str) -> str:
    """A model's words as feedback repeats them: short, on one line, printable."""
    clean = "".join(c if c.isprintable() else " " for c in text[:60]).strip()
    return f'"{clean}"' if clean else "nothing"
