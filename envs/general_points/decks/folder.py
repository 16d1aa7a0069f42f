"""A deck from a folder of 52 pictures, named as people name cards.

S2, HT, CK, 10H, ace_of_spades, card_2C, queen_of_hearts2 and the like; png, jpg or webp, of any
size, transparency and all. Where two files are the same card, the shorter name wins, then the
alphabet. Everything wrong with the folder is said in one error.
"""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image as PILImage

from envs.general_points.cards import RANKS, SUITS, Card, read_card
from envs.picture_files import open_picture

ENDINGS = {".png", ".jpg", ".jpeg", ".webp"}
LARGEST_PIXELS = 30_000_000
_KEPT_HEIGHT = 840


class FolderDeck:
    """The cards of a folder, read and checked when it is made."""

    table = (21, 102, 60)

    def __init__(self, folder: Path) -> None:
        self._pictures: dict[Card, PILImage.Image] = {}
        problems = []
        files = sorted(
            (path for path in folder.iterdir() if path.suffix.lower() in ENDINGS),
            key=lambda path: (len(path.name), path.name),
        )
        for path in files:
            card = card_of_name(path.stem)
            if card is None or card in self._pictures:
                continue
            try:
                self._pictures[card] = _read(path)
            except (OSError, ValueError, SyntaxError, PILImage.DecompressionBombError) as error:
                problems.append(f"{path.name} cannot be read ({error})")
        every = [Card(rank, suit) for suit in SUITS for rank in range(1, len(RANKS) + 1)]
        missing = [str(card) for card in every if card not in self._pictures]
        if missing:
            problems.append(f"no picture of {', '.join(missing)}")
        if problems:
            raise ValueError(
                f"deck={str(folder)!r}: {'; '.join(problems)}. Expected 52 pictures with names such as "
                f"S2, HT, 10H, ace_of_spades or card_2C; found {len(files)} pictures."
            )

    def draw_card(self, card: Card, height: int) -> PILImage.Image:
        """The picture as it is; whoever shows it fits it."""
        return self._pictures[card]


def card_of_name(stem: str) -> Card | None:
    """The card that a file's name means; None if it means none (a back, a joker)."""
    name = re.sub(r"^card[\s_-]*", "", stem.lower())
    name = re.sub(r"[\s_-]+", " ", name).strip()
    return read_card(name) or read_card(re.sub(r"(?<=[a-z])\s*\d$", "", name))


def _read(path: Path) -> PILImage.Image:
    with open_picture(path) as picture:
        if picture.width * picture.height > LARGEST_PIXELS:
            raise ValueError(f"{picture.width} x {picture.height} pixels are too many")
        picture.load()
        image = picture.convert("RGBA")
    image.thumbnail((_KEPT_HEIGHT, _KEPT_HEIGHT), PILImage.Resampling.LANCZOS)
    return image
