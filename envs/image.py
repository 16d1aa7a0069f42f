"""Pictures as the worlds show them, the space of several of them, and several as one for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import CustomSpaceError
from gymnasium.vector.utils import create_shared_memory

Image = np.ndarray
"""uint8, height x width x 3, RGB."""
GAP = 8
"""Pixels between pictures that stand side by side."""
LONGEST_SIDE = 20_000


def is_image(value: Any) -> bool:
    return (
        isinstance(value, np.ndarray)
        and value.dtype == np.uint8
        and value.ndim == 3
        and value.shape[2] == 3
        and 0 < min(value.shape[:2]) <= max(value.shape[:2]) <= LONGEST_SIDE
    )


class Pictures(spaces.Space[list[Image]]):
    """Any number of pictures, each of any size, as a list (or tuple). Samples are few and small."""

    def __init__(self, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(None, None, seed)

    @property
    def is_np_flattenable(self) -> bool:
        return False

    def sample(self, mask: Any = None, probability: Any = None) -> list[Image]:
        sizes = self.np_random.integers(28, 57, (int(self.np_random.integers(4)), 2))
        return [self.np_random.integers(0, 256, (*size, 3), np.uint8) for size in sizes]

    def contains(self, x: Any) -> bool:
        return isinstance(x, list | tuple) and all(map(is_image, x))

    def __repr__(self) -> str:
        return "Pictures()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pictures)

    def __hash__(self) -> int:
        return hash(Pictures)


@create_shared_memory.register(Pictures)
def _no_shared_memory(space: Pictures, n: int = 1, ctx: Any = None) -> Any:
    raise CustomSpaceError(f"{space} has no fixed size: use shared_memory=False")


def side_by_side(pictures: Sequence[Image]) -> Image | None:
    """All in one, with white between and below; None where there is none."""
    if len(pictures) < 2:
        return pictures[0] if pictures else None
    height = max(picture.shape[0] for picture in pictures)
    width = sum(picture.shape[1] for picture in pictures) + GAP * (len(pictures) - 1)
    page = np.full((height, width, 3), 255, np.uint8)
    left = 0
    for picture in pictures:
        page[: picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1] + GAP
    return page
