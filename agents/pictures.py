"""Pictures as a model takes them: scaled into its pixel budget, cut into patches by its processor.

    reader.measure(image)   how many tokens a picture takes, and what is written in its place
    reader.inputs(images)   what the model's `get_image_features` reads, in parts of so many pictures

`PictureReader` is for models that place a picture's tokens in a grid: a picture above the budget is scaled
down into it, one below is scaled up, both keeping their shape, as the Qwen-VL models were trained to have
it. `ProcessorReader` is for all others: it does what their own processor does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image as PILImage

from envs.bounded_cache import BoundedCache

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
    written: str | None = None
    """What is written in the place of the picture's mark, where that is more than its tokens; then these
    count on as words do."""

    @property
    def tokens(self) -> int:
        return self.token_rows * self.token_columns


Inputs = list[tuple[dict[str, Any], int]]
"""Keyword arguments of `get_image_features`, and how many pictures they are of."""


class Reader(Protocol):
    """See the module's docstring."""

    def measure(self, image: np.ndarray) -> Grid: ...

    def inputs(self, images: Sequence[np.ndarray]) -> Inputs: ...

    def scaled(self, image: np.ndarray) -> PILImage.Image:
        """As another engine's processor is to have it."""
        ...


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

    def inputs(self, images: Sequence[np.ndarray]) -> Inputs:
        pixels, grids = self.pixels(list(images))
        return [({"pixel_values": pixels, "image_grid_thw": grids}, len(images))]

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

        refuse_what_is_no_picture(image)
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


PROCESSED_BYTES = 128 * 2**20
"""Of pictures that were measured and are soon to be looked at."""


class ProcessorReader:
    """Pictures as a model's own processor reads them, one at a time."""

    def __init__(self, processor: Any, look: Callable[..., Any], mark: str) -> None:
        """`look` is the model's `get_image_features`; `mark` the token that stands for a part of one."""
        self._processor, self._mark = processor, mark
        self._wanted = set(inspect.signature(look).parameters)
        self._kept: BoundedCache[tuple[Grid, dict[str, Any]]] = BoundedCache(PROCESSED_BYTES)

    def measure(self, image: np.ndarray) -> Grid:
        return self._read(image)[0]

    def inputs(self, images: Sequence[np.ndarray]) -> Inputs:
        return [(self._read(image)[1], 1) for image in images]

    def scaled(self, image: np.ndarray) -> PILImage.Image:
        return PILImage.fromarray(image)

    def _read(self, image: np.ndarray) -> tuple[Grid, dict[str, Any]]:
        refuse_what_is_no_picture(image)
        key = (image.shape, image.tobytes())
        return self._kept.get(key, partial(self._processed, image), _size)

    def _processed(self, image: np.ndarray) -> tuple[Grid, dict[str, Any]]:
        processor = self._processor
        options = processor._merge_kwargs(
            getattr(processor, "valid_processor_kwargs", None),  # transformers 5.18 has to be told
            tokenizer_init_kwargs=processor.tokenizer.init_kwargs,
            return_tensors="pt",
        )["images_kwargs"]
        nested, *_ = processor.prepare_inputs_layout(
            images=[PILImage.fromarray(image)], text=[processor.image_token]
        )
        read, (written,) = processor._process_images(nested, **options)
        taken = {name: value for name, value in read.items() if name in self._wanted}
        return Grid(0, 0, 1, written.count(self._mark), written), taken


def _size(read: tuple[Grid, dict[str, Any]]) -> int:
    tensors = [value for value in read[1].values() if isinstance(value, torch.Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def refuse_what_is_no_picture(image: Any) -> None:
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
