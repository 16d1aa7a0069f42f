"""Playing cards: 52 of them, dealt without replacement, and how models name them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

RANKS = ("A", "2", "3", "4", "5", "6", "7", "8", "9", "10", "J", "Q", "K")
LARGE_RANKS = range(14, 20)
"""Numbers that no playing card has: cards of one split, named by their number."""
SUITS = ("S", "C", "H", "D")
SUITS_OF = {"black": "SC", "red": "HD", "all": "SCHD"}

Faces = tuple[int, int, int]
"""What J, Q and K count."""
FACE_RULES: dict[str, Faces] = {
    "ten": (10, 10, 10),
    "rank": (11, 12, 13),
    "twelve": (12, 12, 12),
}
VARIED_FACES: tuple[Faces, ...] = (
    (10, 10, 10), (11, 11, 11), (9, 9, 9), (8, 8, 8), (6, 6, 6), (9, 10, 11), (8, 9, 10), (10, 9, 8),
)  # fmt: skip
"""The rules of `face_rule=varied`: neither 11, 12, 13 nor three times 12 is among them."""
_WORDS = {
    "ace": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "jack": 11, "queen": 12, "king": 13,
    "a": 1, "t": 10, "j": 11, "q": 12, "k": 13,
}  # fmt: skip
_NAME = re.compile(
    r"(?P<rank>[a-z]+|\d{1,2})[\s_-]*(?:of[\s_-]*)?(?P<suit>[♠♣♥♦♤♧♡♢]|[schd]|spades?|clubs?|hearts?|diamonds?)?\ufe0f?",
    re.IGNORECASE,
)
_SYMBOLS = dict(zip("♠♣♥♦♤♧♡♢", "SCHDSCHD", strict=True))


@dataclass(frozen=True, order=True)
class Card:
    """`rank` from 1 (ace) to 13 (king), or a large one; `suit` one of S, C, H, D."""

    rank: int
    suit: str

    def __str__(self) -> str:
        return f"{self.name}{self.suit}"

    @property
    def name(self) -> str:
        """Without its suit."""
        return str(self.rank) if self.rank in LARGE_RANKS else RANKS[self.rank - 1]

    @property
    def is_red(self) -> bool:
        return self.suit in "HD"

    @property
    def is_face(self) -> bool:
        return 11 <= self.rank <= 13

    def number(self, faces: Faces) -> int:
        """What the card counts where J, Q, K count as `faces` says."""
        return faces[self.rank - 11] if self.is_face else self.rank


def read_rank(said: Any) -> int | None:
    """The rank that a model's name of a card means (3, "3", "Jack", "10♠", "queen of hearts")."""
    if isinstance(said, bool):
        return None
    if isinstance(said, int | float):
        return int(said) if said in range(1, 14) else None
    parts = _parts(said)
    return parts[0] if parts else None


def read_card(said: str) -> Card | None:
    """A card with its suit: 3S, 10H, TH, ace of spades, and the other way round: S3, HT."""
    parts = _parts(said)
    return Card(parts[0], parts[1]) if parts and parts[1] else None


def _parts(said: Any) -> tuple[int, str] | None:
    if not isinstance(said, str) or len(said) > 40:
        return None
    said = re.sub(r"^([schdSCHD])(10|[2-9ATJQKatjqk])$", r"\2\1", said.strip())  # S3 is 3S
    match = _NAME.fullmatch(said)
    if match is None:
        return None
    word = match["rank"].lower()
    # "as" is the ace of spades: a rank's letter followed by a suit's.
    if word not in _WORDS and len(word) == 2 and match["suit"] is None and word[1] in "schd":
        word, suit = word[0], word[1]
    else:
        suit = match["suit"] or ""
    rank = _WORDS.get(word, int(word) if word.isdecimal() else 0)
    suit = _SYMBOLS.get(suit, suit[:1].upper())
    return (rank, suit) if 1 <= rank <= 13 else None
