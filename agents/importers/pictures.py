"""Pictures that chats name: files inside one folder, or data inside the row. Never the network."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

import numpy as np

from agents.columns import decoded
from agents.importers.rows import BadRow

LARGEST_FILE = 64 * 2**20


MOST_PIXELS = 150_000_000
"""Of all pictures of a row: half a gigabyte of memory."""


class PictureFolder:
    """Opens what a row names."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._pixels = folder.resolve(), 0

    def next_row(self) -> None:
        self._pixels = 0

    def open(self, named: Any) -> np.ndarray:
        """A path inside the folder, a data: address, or {"bytes": base64} / {"path": ...}."""
        if isinstance(named, dict):
            inside = named.get("bytes")
            inside = f"data:,{inside}" if isinstance(inside, str) else inside
            named = named.get("url") or named.get("path") or inside
        if not isinstance(named, str) or not named:
            raise BadRow("picture not understood", repr(named)[:100])
        if named.startswith(("http://", "https://", "ftp://")):
            raise BadRow("picture on the network", f"{named[:100]}: download it first")
        data = self._inline(named) if named.startswith("data:") else self._file(named)
        try:
            picture = decoded(data)
        except Exception as error:  # Pillow raises many kinds on broken or hostile files
            raise BadRow("picture can not be read", f"{named[:100]}: {error}") from None
        self._pixels += picture.shape[0] * picture.shape[1]
        if self._pixels > MOST_PIXELS:
            raise BadRow("too many pixels", f"more than {MOST_PIXELS} up to {named[:100]}")
        return picture

    def _file(self, named: str) -> bytes:
        try:
            path = (self._folder / named.removeprefix("file://")).resolve()
            if not path.is_relative_to(self._folder):
                raise BadRow(
                    "picture outside the folder", f"{named[:100]} is not in {self._folder}"
                )
            if not path.is_file():
                raise BadRow("picture missing", f"{named[:100]} is not in {self._folder}")
            if path.stat().st_size > LARGEST_FILE:
                raise BadRow("picture too large", f"{named[:100]} has {path.stat().st_size} bytes")
            return path.read_bytes()
        except BadRow:
            raise
        except (OSError, ValueError, RuntimeError) as error:  # no name that a file can have
            raise BadRow(
                "picture missing", f"{named[:100]!r} is no file ({error!s:.100})"
            ) from None

    @staticmethod
    def _inline(named: str) -> bytes:
        try:
            return base64.b64decode(named.partition(",")[2], validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadRow("picture can not be read", f"bad base64: {error}") from None
