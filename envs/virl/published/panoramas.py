"""Street views cut out of equirectangular panoramas.

Each picture is decoded once and kept while there is room; a view is a pinhole camera's picture,
sampled with bilinear interpolation. North lies at column rotation / 360 * width, clockwise.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

from envs.bounded_cache import BoundedCache
from envs.contract import Image
from envs.picture_files import open_picture
from envs.virl.published.errors import DataError

ENDINGS = (".jpg", ".jpeg", ".png")
LARGEST_PIXELS = 150_000_000
WIDEST = 3328
"""Wider panoramas are reduced to this when decoded."""


class Panoramas:
    """The panoramas of a folder. `names` are those with a picture; `cache_bytes` bounds the memory."""

    def __init__(self, folder: Path, cache_bytes: int = 512 * 2**20) -> None:
        self._folder = folder
        listed = {path.name for path in folder.iterdir()}
        self._files = {
            name.removesuffix(ending): name
            for ending in ENDINGS
            for name in listed
            if name.endswith(ending)
        }
        self._with_metadata = {
            name.removesuffix(".metadata.json")
            for name in listed
            if name.endswith(".metadata.json")
        }
        self.kept: BoundedCache[tuple[np.ndarray, float]] = BoundedCache(cache_bytes)
        self.decoded = 0

    def problem(self, name: str) -> str | None:
        """What is missing for a panorama, as far as the folder's listing tells."""
        if name not in self._files:
            return f"{self._folder / name}.jpg is missing"
        if name not in self._with_metadata:
            return f"{self._folder / name}.metadata.json is missing"
        return None

    def view(self, name: str, heading: float, height: int, width: int, fov: float = 90.0) -> Image:
        """What a camera at the panorama sees along a compass heading."""
        pixels, rotation = self._panorama(name)
        rows, columns = pixels.shape[:2]
        row, column = _rays(height, width, fov, rows, columns)
        return _sample(pixels, row, column + (rotation + heading) / 360.0 * columns)

    def _panorama(self, name: str) -> tuple[np.ndarray, float]:
        """Its pixels, and the rotation of north."""
        return self.kept.get(name, lambda: self._read(name), size=lambda kept: kept[0].nbytes)

    def _read(self, name: str) -> tuple[np.ndarray, float]:
        if problem := self.problem(name):
            raise DataError(problem)
        pixels = _decode(self._folder / self._files[name])
        rotation = _read_rotation(self._folder / f"{name}.metadata.json")
        self.decoded += 1
        return pixels, rotation


def _decode(path: Path) -> np.ndarray:
    try:
        with open_picture(path) as picture:
            if picture.width * picture.height > LARGEST_PIXELS:
                raise DataError(f"{path}: {picture.width} x {picture.height} pixels are too many")
            if picture.width > WIDEST:
                picture.draft("RGB", (WIDEST, WIDEST // 2))
            image = picture.convert("RGB")
    except DataError:
        raise
    except (OSError, ValueError, SyntaxError, PILImage.DecompressionBombError) as error:
        raise DataError(f"{path}: the picture cannot be read ({error})") from None
    if image.width > WIDEST:
        scale = WIDEST / image.width
        image = image.resize((WIDEST, max(1, round(image.height * scale))))
    return np.asarray(image)


def _read_rotation(path: Path) -> float:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable JSON ({error})") from None
    rotation = data.get("rotation") if isinstance(data, dict) else None
    try:
        value = float(rotation)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if isinstance(rotation, bool) or not math.isfinite(value):
        raise DataError(
            f"{path}: field 'rotation' must be a number of degrees, got {rotation!r:.60}"
        )
    return value


@lru_cache(maxsize=16)
def _rays(
    height: int, width: int, fov: float, rows: int, columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel of a view, its row of the panorama and its column relative to the heading."""
    focal = width / 2 / math.tan(math.radians(fov) / 2)
    x = np.arange(width) + 0.5 - width / 2
    y = np.arange(height)[:, None] + 0.5 - height / 2
    yaw = np.arctan2(x, focal)
    pitch = np.arctan2(-y, np.hypot(x, focal))
    row = (0.5 - pitch / math.pi) * rows - 0.5
    column = np.broadcast_to(yaw / (2 * math.pi) * columns - 0.5, row.shape)
    return row.astype(np.float32), column.astype(np.float32)


def _sample(pixels: np.ndarray, row: np.ndarray, column: np.ndarray) -> Image:
    """Bilinear; columns wrap around, rows stop at the poles."""
    rows, columns = pixels.shape[:2]
    top, left = np.floor(row).astype(np.intp), np.floor(column).astype(np.intp)
    down, across = (row - top)[..., None], (column - left)[..., None]
    above, below = np.clip(top, 0, rows - 1), np.clip(top + 1, 0, rows - 1)
    left, right = left % columns, (left + 1) % columns
    upper = pixels[above, left] * (1 - across) + pixels[above, right] * across
    lower = pixels[below, left] * (1 - across) + pixels[below, right] * across
    return (upper * (1 - down) + lower * down + 0.5).astype(np.uint8)
