"""What the forms of chats have in common: alternating turns become a demonstration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from agents.demonstrations import Demonstration

MOST_TURNS = 1000
LONGEST_TEXT = 1_000_000


class BadRow(ValueError):
    """A row that can not be taken: `kind` in a few words, to be counted, and what it was."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail[:300]}")
        self.kind = kind


Said = tuple[str, str, list[np.ndarray]]
"""Who ("user", "assistant", "system"), the words, the pictures shown with them."""


def pictures_beside(row: dict[str, Any], *keys: str) -> list[Any]:
    """What a row lists beside its words: under the first key that says anything, one or a list."""
    listed = [row[key] for key in keys if row.get(key) not in (None, [])]
    if any(other != listed[0] for other in listed[1:]):
        raise BadRow("pictures under two keys", " and ".join(keys))
    return [*listed[0]] if listed and isinstance(listed[0], list) else listed[:1]


def as_demonstration(name: str, said: Sequence[Said]) -> Demonstration:
    """User and assistant by turns, and what the system says before them. Users alone show pictures."""
    if len(said) > 2 * MOST_TURNS:
        raise BadRow("too many turns", str(len(said)))
    system = [words for who, words, _ in said if who == "system"]
    turns = list(said[len(system) :])
    if any(who == "system" for who, _, _ in turns):
        raise BadRow("a later system message", "what was answered before it was not told of it")
    for where, words in (("its id", name), *(("a system message", words) for words in system)):
        _refuse_what_is_none(words, where)
    if shown := [who for who, _, pictures in said if pictures and who != "user"]:
        raise BadRow("a picture that no user shows", f"it is in what is said by {shown[0]}")
    if not turns:
        raise BadRow("no turns", "nothing is said")
    for number, (who, words, _) in enumerate(turns):
        expected = ("user", "assistant")[number % 2]
        if who != expected:
            raise BadRow("turns do not alternate", f"turn {number} is by {who}, not by {expected}")
        _refuse_what_is_none(words, f"turn {number}")
    if len(turns) % 2:
        raise BadRow("no last answer", "the last turn is the user's")
    row = Demonstration(name=name, messages=[], answers=[], stop="imported")
    row.system = "\n\n".join(system)
    for (_, words, pictures), (_, answer, _) in zip(turns[::2], turns[1::2], strict=True):
        if not answer.strip():
            raise BadRow("empty answer", f"turn {2 * len(row.answers) + 1}")
        row.show(words, pictures)
        row.answers.append(answer)
    return row


def _refuse_what_is_none(words: str, where: str) -> None:
    if len(words) > LONGEST_TEXT:
        raise BadRow("too long a text", f"{where} has {len(words)} characters")
    try:
        words.encode("utf-8")
    except UnicodeEncodeError:
        raise BadRow("half a character", f"{where} has a lone surrogate: {words!r:.100}") from None
