"""Seeing before speaking: the vision tower learns what is where, token by token.

A scene is a picture with things at known places: signs on a wall of colours, a street, cards on a
table. Each token of the picture is asked for the thing whose centre it holds: the sign's colour, shape
and kind, or the card's rank and suit. One picture so teaches as many lessons as it has tokens, where a
conversation about it teaches one: without this stage, signs of a dozen pixels were hardly ever learnt.
The questions are asked by a linear head that is thrown away afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage
from PIL import ImageDraw
from torch.nn import functional as F

from agents.tiny_vlm import MERGE, PATCH
from amft_mm.pretraining.cards import DECKS, TABLE_SIZES, some_cards
from amft_mm.pretraining.exercise import Rng, pick
from amft_mm.pretraining.streets import STREET_SIZES, a_place_in_town
from envs.contract import Image
from envs.general_points.cards import RANKS, Card
from envs.general_points.decks import card_boxes, find_deck, table_picture
from envs.virl import grid
from envs.virl.city import COLOURS, KINDS, SHAPES, Emblem
from envs.virl.city_files import load_city
from envs.virl.geo import VIEW_SIDES
from envs.virl.signs import emblem_image

TOKEN = PATCH * MERGE
"""Pixels along a token's side."""
LABELS = ("sign", *COLOURS, *SHAPES, *KINDS, "card", *RANKS, *"SCHD")
NUMBER = {label: number for number, label in enumerate(LABELS)}
LEAST_SIGN = 10
"""Pixels; a smaller sign is part of the background, as shops far away are not told of."""


@dataclass(frozen=True)
class Scene:
    """A picture, and for each of its tokens (rows x columns) which labels hold."""

    picture: Image
    labels: np.ndarray


def draw_scene(rng: Rng) -> Scene:
    return (signs_on_a_wall, signs_on_a_wall, street, cards)[int(rng.integers(4))](rng)


def signs_on_a_wall(rng: Rng) -> Scene:
    """Many signs on colours that mean nothing."""
    side = 4 * TOKEN
    canvas = PILImage.new("RGB", (side, side), _colour(rng))
    draw = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(8))):
        left, top = (int(x) for x in rng.integers(side, size=2))
        wide, high = (int(x) for x in rng.integers(4, 70, size=2))
        draw.rectangle((left, top, left + wide, top + high), fill=_colour(rng))
    marks = load_city("gridtown").landmarks
    labels = _nothing(side, side)
    for token in rng.permutation(16)[: int(rng.integers(4, 13))]:
        middle = (np.array(divmod(int(token), 4)) + 0.5) * TOKEN + rng.uniform(-11, 11, 2)
        emblem = pick(rng, marks).emblem
        size = int(rng.integers(LEAST_SIGN, 32) if rng.random() < 0.8 else rng.integers(32, 46))
        sign = emblem_image(emblem, size)
        canvas.paste(sign, (round(middle[1] - size / 2), round(middle[0] - size / 2)), sign)
        _mark(labels, middle[0], middle[1], _sign_labels(emblem))
    return Scene(np.asarray(canvas), labels)


def street(rng: Rng) -> Scene:
    """Four joined views in one of the towns."""
    town, place, heading = a_place_in_town(rng)
    tile = pick(rng, STREET_SIZES) // 2
    picture = grid.join(town.look(place, heading, tile), VIEW_SIDES)
    labels = _nothing(2 * tile, 2 * tile)
    for index, boxes in enumerate(town.signs(place, heading, tile).values()):
        row, column = divmod(index, 2)
        for box in boxes:
            x, y = box.left + box.size / 2, box.top + box.size / 2
            if box.size >= LEAST_SIGN and 0 <= x < tile and 0 <= y < tile:
                emblem = town.city.landmarks[box.landmark].emblem
                _mark(labels, row * tile + y, column * tile + x, _sign_labels(emblem))
    return Scene(picture, labels)


def cards(rng: Rng) -> Scene:
    """One to five cards on a table."""
    count = pick(rng, (1, 3, 4, 4, 4, 5))
    side = pick(rng, (56, 84) if count == 1 else TABLE_SIZES)
    shown = some_cards(rng, count)
    picture = table_picture(find_deck(pick(rng, DECKS)), shown, (side, side))
    labels = _nothing(side, side)
    for card, (left, top, wide, high) in zip(shown, card_boxes(count, (side, side)), strict=True):
        _mark(labels, top + high / 2, left + wide / 2, _card_labels(card))
    return Scene(picture, labels)


def _colour(rng: Rng) -> tuple[int, ...]:
    return tuple(int(part) for part in rng.integers(30, 246, 3))


def _nothing(height: int, width: int) -> np.ndarray:
    return np.zeros((height // TOKEN, width // TOKEN, len(LABELS)), np.float32)


def _mark(labels: np.ndarray, y: float, x: float, said: list[str]) -> None:
    """What is nearer, painted later, takes the place of what is behind it."""
    row = min(labels.shape[0] - 1, max(0, int(y // TOKEN)))
    column = min(labels.shape[1] - 1, max(0, int(x // TOKEN)))
    labels[row, column] = 0
    labels[row, column, [NUMBER[label] for label in said]] = 1


def _sign_labels(emblem: Emblem) -> list[str]:
    return ["sign", emblem.colour, emblem.shape, emblem.kind]


def _card_labels(card: Card) -> list[str]:
    return ["card", RANKS[card.rank - 1], card.suit]


class Eye(torch.nn.Module):
    """A vision tower with the head that is asked for the labels."""

    def __init__(self, tower: torch.nn.Module, width: int) -> None:
        super().__init__()
        self.tower, self.head = tower, torch.nn.Linear(width, len(LABELS))
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.constant_(self.head.bias, -3.0)  # most labels hold nowhere

    def forward(self, pixels: torch.Tensor, grids: torch.Tensor) -> torch.Tensor:
        """A row of logits for each token of the pictures, one after another."""
        seen: Any = self.tower(pixels, grid_thw=grids).pooler_output
        rows = seen if isinstance(seen, torch.Tensor) else torch.cat(list(seen))
        return self.head(rows)


def seeing_loss(logits: torch.Tensor, scenes: list[Scene]) -> torch.Tensor:
    """Cross-entropy of every label at every token, summed."""
    return F.binary_cross_entropy_with_logits(logits, _all_labels(scenes), reduction="sum")


@torch.no_grad()
def seen_rightly(logits: torch.Tensor, scenes: list[Scene]) -> dict[str, tuple[int, int]]:
    """How many of the signs and cards are named in all their parts: (right, all)."""
    labels = _all_labels(scenes)
    found = {}
    for name, parts in PARTS.items():
        rows = labels[:, NUMBER[name]] > 0
        right = torch.ones(int(rows.sum()), dtype=torch.bool)
        for part in parts:
            columns = [NUMBER[label] for label in part]
            right &= logits[rows][:, columns].argmax(1) == labels[rows][:, columns].argmax(1)
        found[name] = (int(right.sum()), len(right))
    return found


PARTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "sign": (tuple(COLOURS), SHAPES, KINDS),
    "card": (tuple(RANKS), tuple("SCHD")),
}


def _all_labels(scenes: list[Scene]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([s.labels.reshape(-1, len(LABELS)) for s in scenes]))
