"""The picture of V-IRL: four street views joined into one, each under its own name.

`order` names the sides from the top left to the bottom right; the label in the text and the pixels
of a tile come from the same entry of the same tuple, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw

from envs.contract import Image
from envs.fonts import typeface
from envs.virl.geo import VIEW_SIDES

LABELLED_FROM = 96
"""Tiles of at least this height carry their side's name as a badge."""


def check_order(order: Sequence[str]) -> tuple[str, ...]:
    listed = [] if isinstance(order, str) or not isinstance(order, Sequence) else order
    if sorted(map(str, listed)) != sorted(VIEW_SIDES):
        raise ValueError(f"order={order!r:.100} must name each of {VIEW_SIDES} once.")
    return tuple(order)


def tile_size(size: tuple[int, int]) -> tuple[int, int]:
    height, width = size
    if height % 2 or width % 2:
        raise ValueError(f"size={size} must be even: the picture is a grid of two by two views.")
    return height // 2, width // 2


def join(views: Mapping[str, Image], order: Sequence[str]) -> Image:
    """The 2 x 2 grid of the views, read-only."""
    tiles = [_labelled(views[side], side) for side in order]
    height, width = tiles[0].shape[:2]
    picture = np.empty((2 * height, 2 * width, 3), np.uint8)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, 2)
        picture[row * height : (row + 1) * height, column * width : (column + 1) * width] = tile
    picture.setflags(write=False)
    return picture


def _labelled(view: Image, side: str) -> Image:
    if view.shape[0] < LABELLED_FROM:
        return view
    badge = _badge(side, max(9, view.shape[0] // 18))
    labelled = view.copy()
    height, width = (min(a, b) for a, b in zip(badge.shape[:2], labelled.shape[:2], strict=True))
    labelled[:height, :width] = badge[:height, :width]
    return labelled


@lru_cache(maxsize=64)
def _badge(side: str, text_size: int) -> Image:
    font = typeface("DejaVuSans-Bold.ttf", text_size)
    left, top, right, bottom = font.getbbox(side)
    pad = text_size // 3
    badge = PILImage.new(
        "RGB", (int(right - left) + 2 * pad, int(bottom - top) + 2 * pad), (20, 20, 24)
    )
    ImageDraw.Draw(badge).text((pad - left, pad - top), side, font=font, fill=(245, 245, 245))
    return np.asarray(badge)
