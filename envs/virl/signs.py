"""Shop signs: an emblem (shape, colour, pictogram and board of the kind) and the name below it.

Everything is drawn large, reduced once per size and kept, so pasting a sign costs next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache

from PIL import Image as PILImage
from PIL import ImageDraw

from envs.fonts import typeface
from envs.virl.city import COLOURS, Emblem

BOARD = (252, 252, 248, 255)
# Each kind of shop has boards of its own tint: the kind can be told from afar, where its pictogram
# is a few pixels wide.
BOARDS = {
    "cafe": (252, 252, 248),
    "bakery": (250, 220, 150),
    "bank": (170, 184, 200),
    "bookshop": (150, 224, 156),
    "pharmacy": (150, 232, 242),
    "hotel": (204, 176, 242),
    "florist": (255, 186, 204),
    "theatre": (206, 226, 84),
}
INK = (24, 24, 28, 255)
_DRAWN = 256  # pixels at which an emblem is drawn before it is reduced

Point = tuple[float, float]


@lru_cache(maxsize=8192)
def emblem_image(emblem: Emblem, size: int) -> PILImage.Image:
    """The emblem on its board, `size` x `size`, RGBA, transparent corners."""
    large = _half_emblem(emblem) if size <= _DRAWN // 4 else _large_emblem(emblem)
    return large.resize((size, size), PILImage.Resampling.BOX)


@lru_cache(maxsize=512)
def _half_emblem(emblem: Emblem) -> PILImage.Image:
    return _large_emblem(emblem).reduce(2)


@lru_cache(maxsize=2048)
def name_image(name: str, height: int) -> PILImage.Image:
    """The name in one line on a dark board of the given height, RGB."""
    font = typeface("DejaVuSans-Bold.ttf", max(5, round(height * 0.7)))
    text = name if len(name) <= 28 else name[:27] + "…"
    width = round(font.getlength(text)) + height // 2
    board = PILImage.new("RGB", (width, height), INK[:3])
    ImageDraw.Draw(board).text((width / 2, height / 2), text, (255, 255, 255), font, anchor="mm")
    return board


@lru_cache(maxsize=512)
def _large_emblem(emblem: Emblem) -> PILImage.Image:
    image = PILImage.new("RGBA", (_DRAWN, _DRAWN), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    board = (*BOARDS[emblem.kind], 255)
    draw.rounded_rectangle((2, 2, _DRAWN - 3, _DRAWN - 3), 30, board, INK, 7)
    colour = (*COLOURS[emblem.colour], 255)
    _polygon(draw, SHAPE_POINTS[emblem.shape], colour, outline=INK)
    luminance = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]
    ink = INK if luminance > 140 else BOARD
    PICTOGRAMS[emblem.kind](
        _Pen(draw, ink, colour, *ROOM_FOR_PICTOGRAM.get(emblem.shape, (1.0, 0.0)))
    )
    return image


def _pixels(points: list[Point]) -> list[Point]:
    """From the unit square, origin in the middle, y up, to pixels of the large drawing."""
    half = _DRAWN / 2
    return [(half + x * half, half - y * half) for x, y in points]


def _polygon(
    draw: ImageDraw.ImageDraw,
    points: list[Point],
    fill: tuple[int, ...],
    outline: tuple[int, ...] | None = None,
) -> None:
    draw.polygon(_pixels(points), fill, outline, 5 if outline else 0)


def _regular(corners: int, radius: float, turn: float = 0.0) -> list[Point]:
    angles = [turn + 2 * math.pi * k / corners for k in range(corners)]
    return [(radius * math.sin(a), radius * math.cos(a)) for a in angles]


def _star(points: int, outer: float, inner: float) -> list[Point]:
    radii = (outer, inner)
    return [
        (
            radii[k % 2] * math.sin(math.pi * k / points),
            radii[k % 2] * math.cos(math.pi * k / points),
        )
        for k in range(2 * points)
    ]


SHAPE_POINTS: dict[str, list[Point]] = {
    "circle": _regular(60, 0.84),
    "square": [(-0.78, -0.78), (0.78, -0.78), (0.78, 0.78), (-0.78, 0.78)],
    "triangle": [(0.0, 0.9), (0.92, -0.74), (-0.92, -0.74)],
    "diamond": [(0.0, 0.92), (0.92, 0.0), (0.0, -0.92), (-0.92, 0.0)],
    "star": [(x, y - 0.06) for x, y in _star(5, 0.96, 0.5)],
    "hexagon": [(0.9 * x, 0.9 * y) for x, y in _regular(6, 1.0, math.pi / 6)],
}
ROOM_FOR_PICTOGRAM = {"triangle": (0.7, -0.26), "star": (0.7, -0.04), "diamond": (0.85, 0.0)}
"""Scale and shift up of the pictogram, for shapes that leave it less room."""


class _Pen:
    """Draws pictograms in the unit square: `fill` in the sign's ink, `cut` back out of it."""

    def __init__(
        self,
        draw: ImageDraw.ImageDraw,
        ink: tuple[int, ...],
        ground: tuple[int, ...],
        scale: float,
        up: float,
    ) -> None:
        self._draw, self._ink, self._ground = draw, ink, ground
        self._scale, self._up = scale, up

    def _fit(self, points: Iterable[Point]) -> list[Point]:
        return [(x * self._scale, y * self._scale + self._up) for x, y in points]

    def fill(self, *points: Point) -> None:
        _polygon(self._draw, self._fit(points), self._ink)

    def cut(self, *points: Point) -> None:
        _polygon(self._draw, self._fit(points), self._ground)

    def disc(self, centre: Point, radius: float, *, cut: bool = False) -> None:
        corners = [
            (centre[0] - radius, centre[1] + radius),
            (centre[0] + radius, centre[1] - radius),
        ]
        (left, top), (right, bottom) = _pixels(self._fit(corners))
        self._draw.ellipse((left, top, right, bottom), self._ground if cut else self._ink)

    def box(
        self, left: float, bottom: float, right: float, top: float, *, cut: bool = False
    ) -> None:
        corners = ((left, bottom), (right, bottom), (right, top), (left, top))
        (self.cut if cut else self.fill)(*corners)


def _cup(pen: _Pen) -> None:
    pen.disc((0.27, -0.08), 0.2)
    pen.disc((0.27, -0.08), 0.1, cut=True)
    pen.fill((-0.4, 0.16), (0.28, 0.16), (0.18, -0.36), (-0.3, -0.36))
    pen.box(-0.44, -0.5, 0.32, -0.42)


def _loaf(pen: _Pen) -> None:
    pen.disc((-0.22, -0.08), 0.27)
    pen.disc((0.22, -0.08), 0.27)
    pen.box(-0.22, -0.35, 0.22, 0.19)
    for x in (-0.22, 0.0, 0.22):
        pen.cut((x - 0.1, 0.2), (x - 0.02, 0.2), (x + 0.1, -0.1), (x + 0.02, -0.1))


def _columns(pen: _Pen) -> None:
    pen.fill((0.0, 0.44), (0.46, 0.14), (-0.46, 0.14))
    for x in (-0.36, -0.07, 0.22):
        pen.box(x, -0.3, x + 0.14, 0.1)
    pen.box(-0.46, -0.46, 0.46, -0.34)


def _book(pen: _Pen) -> None:
    pen.fill((-0.04, 0.22), (-0.46, 0.34), (-0.46, -0.26), (-0.04, -0.4))
    pen.fill((0.04, 0.22), (0.46, 0.34), (0.46, -0.26), (0.04, -0.4))


def _cross(pen: _Pen) -> None:
    pen.box(-0.14, -0.44, 0.14, 0.44)
    pen.box(-0.44, -0.14, 0.44, 0.14)


def _bed(pen: _Pen) -> None:
    pen.box(-0.5, -0.42, -0.38, 0.26)
    pen.box(-0.5, -0.28, 0.5, -0.08)
    pen.box(0.38, -0.42, 0.5, -0.1)
    pen.disc((-0.2, 0.06), 0.12)


def _flower(pen: _Pen) -> None:
    for x, y in _regular(5, 0.29):
        pen.disc((x, y + 0.02), 0.2)
    pen.disc((0.0, 0.02), 0.13, cut=True)


def _mask(pen: _Pen) -> None:
    pen.disc((0.0, 0.0), 0.4)
    pen.box(-0.4, 0.0, 0.4, 0.36)
    pen.box(-0.27, 0.06, -0.09, 0.2, cut=True)
    pen.box(0.09, 0.06, 0.27, 0.2, cut=True)
    pen.cut((-0.2, -0.1), (0.2, -0.1), (0.0, -0.28))


PICTOGRAMS: dict[str, Callable[[_Pen], None]] = {
    "cafe": _cup,
    "bakery": _loaf,
    "bank": _columns,
    "bookshop": _book,
    "pharmacy": _cross,
    "hotel": _bed,
    "florist": _flower,
    "theatre": _mask,
}
