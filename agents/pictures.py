"""Pictures as a model takes them: scaled into its pixel budget, cut into patches by its processor.

`PictureReader.measure(image)` says how many tokens a picture takes; `PictureReader.pixels(images)`
gives what the model's vision tower reads. A picture above the budget is scaled down into it, one
below is scaled up, both keeping their shape, as the Qwen-VL models were trained to have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage

LONGEST_SIDE = 20_000
"""Pixels; a longer side is a mistake, not a picture."""


class BadPicture(ValueError):
    """Something that was given as a picture and is none that the model can read."""


@dataclass(frozen=True)
class Grid:
    """A picture's patches (rows x columns) and the tokens that they become (rows x columns)."""

    rows: int
    columns: int
    token_rows: int
    token_columns: int

    @property
    def tokens(self) -> int:
        return self.token_rows * self.token_columns


class PictureReader:
    """Reads pictures (uint8, height x width x 3) for the model of one image processor."""

    def __init__(
        self, image_processor: Any, min_pixels: int | None = None, max_pixels: int | None = None
    ) -> None:
        """The budget is the processor's own where it is None."""
        self._processor = image_processor
        self._patch, self._merge = image_processor.patch_size, image_processor.merge_size
        own = image_processor.size
        self.min_pixels = int(min_pixels or own["shortest_edge"])
        self.max_pixels = int(max_pixels or own["longest_edge"])
        unit = (self._patch * self._merge) ** 2
        if not unit <= self.max_pixels or self.min_pixels > self.max_pixels:
            raise ValueError(
                f"pixel budget {self.min_pixels} to {self.max_pixels}: the upper end must be at "
                f"least one token's {unit} pixels and not below the lower end."
            )

    def measure(self, image: np.ndarray) -> Grid:
        height, width = self._size(image)
        rows, columns = height // self._patch, width // self._patch
        return Grid(rows, columns, rows // self._merge, columns // self._merge)

    def pixels(self, images: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """`pixel_values` (patches x values) and `image_grid_thw` of the pictures in order."""
        batch = self._processor(
            images=[self.scaled(image) for image in images], do_resize=False, return_tensors="pt"
        )
        return batch["pixel_values"], batch["image_grid_thw"]

    def scaled(self, image: np.ndarray) -> PILImage.Image:
        """The picture in the size in which the model gets it."""
        height, width = self._size(image)
        picture = PILImage.fromarray(image)
        if picture.size == (width, height):
            return picture
        return picture.resize((width, height), PILImage.Resampling.BICUBIC)

    def _size(self, image: np.ndarray) -> tuple[int, int]:
        """(height, width) of the picture as the model gets it."""
        # Imported here: it loads torchvision, which worlds of text alone never need.
        from qwen_vl_utils.vision_process import smart_resize

        if (
            not isinstance(image, np.ndarray)
            or image.dtype != np.uint8
            or image.ndim != 3
            or image.shape[2] != 3
            or not 0 < min(image.shape[:2]) <= max(image.shape[:2]) <= LONGEST_SIDE
        ):
            got = f"{image.dtype} {image.shape}" if hasattr(image, "dtype") else repr(image)
            raise BadPicture(
                f"a picture is a uint8 array, height x width x 3, sides up to {LONGEST_SIDE}; "
                f"got {got:.100}"
            )
        try:
            return smart_resize(
                image.shape[0],
                image.shape[1],
                factor=self._patch * self._merge,
                min_pixels=self.min_pixels,
                max_pixels=self.max_pixels,
            )
        except ValueError as error:
            raise BadPicture(f"a picture of {image.shape[1]} x {image.shape[0]}: {error}") from None
