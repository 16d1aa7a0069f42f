"""Decks: drawings of the 52 cards, by name, or any folder of card pictures.

A drawn deck is one file with a `TABLE` colour and `draw_card(card, height) -> RGBA picture`; adding
it to `DRAWN_DECKS` is all that a new one needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

from envs.contract import Image, one_of
from envs.general_points.cards import Card
from envs.general_points.decks import chalk, classic, flat
from envs.general_points.decks.folder import FolderDeck
from envs.read_once import read_once


@dataclass(frozen=True)
class DrawnDeck:
    """`draw_card(card, height)` draws a card, RGBA; `table` is the colour below the cards."""

    table: tuple[int, int, int]
    draw_card: Callable[[Card, int], PILImage.Image]


DRAWN_DECKS = {
    "classic": DrawnDeck(classic.TABLE, classic.draw_card),
    "flat": DrawnDeck(flat.TABLE, flat.draw_card),
    "chalk": DrawnDeck(chalk.TABLE, chalk.draw_card),
}
_DRAWN_HEIGHT = 420
GAP_SHARE = 0.04  # of the picture, around and between the cards

Deck = DrawnDeck | FolderDeck


def find_deck(deck: str | Path) -> Deck:
    """The deck of that name, or the folder of card pictures at that path."""
    if str(deck) in DRAWN_DECKS:
        return DRAWN_DECKS[str(deck)]
    if Path(deck).is_dir():
        return _folder_deck(Path(deck))
    if "/" in str(deck) or "\\" in str(deck):
        raise FileNotFoundError(f"deck={str(deck)!r}: there is no such folder of card pictures.")
    return DRAWN_DECKS[one_of("deck", str(deck), DRAWN_DECKS)]


_folder_deck = read_once(FolderDeck, Path.iterdir, most=4)
"""A deck that all environments of a process share."""


def other_deck(deck: str | Path) -> str:
    """A drawn deck that looks different."""
    return next(name for name in ("flat", "classic") if name != str(deck))


def table_picture(deck: Deck, cards: Sequence[Card], size: tuple[int, int]) -> Image:
    """The cards side by side on the deck's table, as large as fits, read-only."""
    height, width = size
    table = PILImage.new("RGB", (width, height), deck.table)
    for card, (left, top, cell_width, cell_height) in zip(
        cards, card_boxes(len(cards), size), strict=True
    ):
        picture = _fitted(deck, card, (cell_height, cell_width))
        x, y = left + (cell_width - picture.width) // 2, top + (cell_height - picture.height) // 2
        table.paste(picture, (x, y), picture)
    image = np.asarray(table)
    image.setflags(write=False)
    return image


def card_boxes(count: int, size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """(left, top, width, height) of the room that each of so many cards has in the picture."""
    height, width = size
    rows, columns = _layout(count, size)
    gap = max(1, round(min(size) * GAP_SHARE))
    cell = ((height - gap * (rows + 1)) // rows, (width - gap * (columns + 1)) // columns)
    boxes = []
    for index in range(count):
        row, column = divmod(index, columns)
        in_row = min(columns, count - row * columns)
        start = (width - in_row * (cell[1] + gap) + gap) // 2
        left, top = start + column * (cell[1] + gap), gap + row * (cell[0] + gap)
        boxes.append((left, top, cell[1], cell[0]))
    return boxes


def _layout(count: int, size: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) that leave the cards, 5 wide and 7 high, the most room."""

    def scale(rows: int) -> float:
        columns = -(-count // rows)
        return min(size[0] / rows / 7, size[1] / columns / 5)

    rows = max(range(1, count + 1), key=scale)
    return rows, -(-count // rows)


@lru_cache(maxsize=4096)
def _fitted(deck: Deck, card: Card, cell: tuple[int, int]) -> PILImage.Image:
    """A card as large as fits into a cell of (height, width), its proportions kept."""
    picture = deck.draw_card(card, max(_DRAWN_HEIGHT, cell[0]))
    scale = min(cell[0] / picture.height, cell[1] / picture.width)
    fitted = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(fitted, PILImage.Resampling.LANCZOS)
