"""The fonts that pictures are written in: `typeface("DejaVuSans.ttf", 17)`.

By the basic layout: it draws characters in their order, so that no text can turn a line around, and pictures
are the same to the pixel whether or not the machine has the library (FriBiDi) that Pillow's other layout
looks for.
"""

from __future__ import annotations

from functools import lru_cache

from PIL import ImageFont

from envs.paths import asset


@lru_cache(maxsize=256)
def typeface(name: str, size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(asset("fonts", name), size, layout_engine=ImageFont.Layout.BASIC)
