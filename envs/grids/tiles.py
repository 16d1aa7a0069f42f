"""Pictures of grids: one drawing a kind of tile, joined to a picture of any size."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw

from envs.contract import Image

PAPER = (236, 234, 228)
ICE, WATER, RIM = (214, 232, 244), (36, 66, 116), (168, 196, 216)
WALL, MORTAR, FLOOR, SEAM = (122, 84, 66), (92, 62, 48), (226, 218, 200), (206, 196, 176)
RED, DARK, SKIN, GREEN, WOOD, GRAIN = (
    (206, 54, 48), (40, 40, 46), (242, 204, 170), (38, 142, 78), (214, 158, 66), (150, 100, 30),
)  # fmt: skip
_FINE = 4
"""Tiles are drawn so many times as large, and then made small: edges come out smooth."""


def grid_picture(rows: Sequence[Sequence[str]], size: tuple[int, int]) -> Image:
    """The tiles of these kinds, as large as fit into (height, width), in the middle."""
    height, width = size
    side = max(1, min(height // len(rows), width // len(rows[0])))
    top, left = (height - side * len(rows)) // 2, (width - side * len(rows[0])) // 2
    page = np.full((height, width, 3), PAPER, np.uint8)
    for i, row in enumerate(rows):
        for j, kind in enumerate(row):
            y, x = top + i * side, left + j * side
            page[y : y + side, x : x + side] = _tile(kind, side)
    return page


@lru_cache(maxsize=256)
def _tile(kind: str, side: int) -> Image:
    """A tile is a ground and, after a +, what stands on it: "ice+player"."""
    fine = side * _FINE
    picture = PILImage.new("RGB", (fine, fine))
    draw = ImageDraw.Draw(picture)
    for part in kind.split("+"):
        _PARTS[part](draw, float(fine))
    return np.asarray(picture.resize((side, side), PILImage.Resampling.LANCZOS))


def _ice(draw: ImageDraw.ImageDraw, s: float) -> None:
    draw.rectangle((0, 0, s, s), ICE, RIM, max(1, int(s / 24)))
    draw.line((s * 0.2, s * 0.35, s * 0.42, s * 0.18), (244, 250, 254), max(1, int(s / 20)))


def _hole(draw: ImageDraw.ImageDraw, s: float) -> None:
    draw.ellipse((s * 0.1, s * 0.14, s * 0.9, s * 0.86), WATER, (18, 40, 80), max(1, int(s / 16)))


def _flag(draw: ImageDraw.ImageDraw, s: float) -> None:
    draw.rectangle((s * 0.24, s * 0.12, s * 0.32, s * 0.9), DARK)
    draw.polygon([(s * 0.32, s * 0.12), (s * 0.86, s * 0.32), (s * 0.32, s * 0.52)], GREEN)


def _player(draw: ImageDraw.ImageDraw, s: float) -> None:
    draw.polygon([(s * 0.5, s * 0.36), (s * 0.8, s * 0.94), (s * 0.2, s * 0.94)], RED)
    draw.ellipse((s * 0.33, s * 0.08, s * 0.67, s * 0.42), SKIN, DARK, max(1, int(s / 24)))


def _wall(draw: ImageDraw.ImageDraw, s: float) -> None:
    draw.rectangle((0, 0, s, s), WALL)
    thick = max(1, int(s / 16))
    for k in range(4):
        y = s * k / 4
        draw.line((0, y, s, y), MORTAR, thick)
        for x in (s * 0.25, s * 0.75) if k % 2 else (0, s * 0.5):
            draw.line((x, y, x, y + s / 4), MORTAR, thick)


def _floor(draw: ImageDraw.ImageDraw, s: float) -> None:
    draw.rectangle((0, 0, s, s), FLOOR, SEAM, max(1, int(s / 24)))


def _target(draw: ImageDraw.ImageDraw, s: float) -> None:
    thick = max(1, int(s / 9))
    draw.line((s * 0.2, s * 0.2, s * 0.8, s * 0.8), GREEN, thick)
    draw.line((s * 0.8, s * 0.2, s * 0.2, s * 0.8), GREEN, thick)


def _box(draw: ImageDraw.ImageDraw, s: float) -> None:
    edge = max(1, int(s / 12))
    draw.rectangle((s * 0.12, s * 0.12, s * 0.88, s * 0.88), WOOD, GRAIN, edge)
    draw.line((s * 0.15, s * 0.15, s * 0.85, s * 0.85), GRAIN, edge)


def _stored(draw: ImageDraw.ImageDraw, s: float) -> None:
    """A box on its target."""
    edge = max(1, int(s / 8))
    draw.rectangle((s * 0.12, s * 0.12, s * 0.88, s * 0.88), WOOD, GREEN, edge)
    draw.line((s * 0.2, s * 0.2, s * 0.8, s * 0.8), GREEN, edge)


_PARTS = {
    "ice": _ice, "hole": _hole, "flag": _flag, "player": _player,
    "wall": _wall, "floor": _floor, "target": _target, "box": _box, "stored": _stored,
}  # fmt: skip


def kept(layout: str, share: float = 0.2) -> bool:
    """Whether training never deals this layout."""
    return hashlib.sha256(layout.encode()).digest()[0] < 256 * share
