"""Picture files of others, opened as what they are shown as: `with open_picture(path_or_file) as picture`.

Pillow goes by what a file holds, whatever its name says, and for some kinds it starts other programs, for
PostScript an interpreter without a limit of time. So only kinds that it reads by itself are opened; a file of
another kind is an OSError, as one that is none is.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

from PIL import Image as PILImage

KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "PPM", "TIFF", "AVIF", "JPEG2000")


def open_picture(source: Path | IO[bytes]) -> PILImage.Image:
    return PILImage.open(source, formats=KINDS)
