"""The four suits as outlines in the unit square (x to the right, y up, centre 0), and fonts."""

from __future__ import annotations

import math

from PIL import ImageDraw, ImageFont

from envs.fonts import typeface

Point = tuple[float, float]


def _heart() -> list[Point]:
    points = []
    for k in range(80):
        t = 2 * math.pi * k / 80
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((x / 17, (y + 2.5) / 16))
    return points


def _diamond() -> list[Point]:
    """Its sides bend inwards a little."""
    corners = [(0.0, 1.0), (0.74, 0.0), (0.0, -1.0), (-0.74, 0.0)]
    points = []
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        for k in range(10):
            t = k / 10
            bend = 1 - 0.16 * math.sin(math.pi * t)
            points.append(((x0 + (x1 - x0) * t) * bend, (y0 + (y1 - y0) * t) * bend))
    return points


_STEM: list[Point] = [
    (-0.08, 0.0),
    (0.08, 0.0),
    (0.12, -0.6),
    (0.4, -0.95),
    (-0.4, -0.95),
    (-0.12, -0.6),
]


def _spade() -> list[list[Point]]:
    leaf = [(x * 0.95, -y * 0.8 + 0.16) for x, y in _heart()]
    return [leaf, _STEM]


def _club() -> list[list[Point]]:
    def disc(cx: float, cy: float) -> list[Point]:
        angles = [2 * math.pi * k / 40 for k in range(40)]
        return [(cx + 0.43 * math.cos(a), cy + 0.43 * math.sin(a)) for a in angles]

    middle: list[Point] = [(-0.3, 0.3), (0.3, 0.3), (0.3, -0.2), (-0.3, -0.2)]
    return [disc(0.0, 0.5), disc(-0.5, -0.14), disc(0.5, -0.14), middle, _STEM]


OUTLINES: dict[str, list[list[Point]]] = {
    "S": _spade(),
    "C": _club(),
    "H": [_heart()],
    "D": [_diamond()],
}


def draw_suit(
    draw: ImageDraw.ImageDraw,
    suit: str,
    centre: Point,
    size: float,
    fill: tuple[int, ...],
    *,
    flipped: bool = False,
) -> None:
    """A suit of the given height around `centre` (pixels)."""
    half, up = size / 2, 1 if flipped else -1
    for outline in OUTLINES[suit]:
        draw.polygon([(centre[0] + x * half, centre[1] + up * y * half) for x, y in outline], fill)


def bold_font(size: int) -> ImageFont.FreeTypeFont:
    return typeface("DejaVuSans-Bold.ttf", size)
