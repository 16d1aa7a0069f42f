"""A bird's-eye map for people: streets, landmarks, the way to go, the way gone, the agent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw

from envs.contract import Image
from envs.fonts import typeface
from envs.virl.city import City
from envs.virl.geo import XY, as_xy
from envs.virl.signs import emblem_image

PAPER, STREET, WAY, WALKED, AGENT, INK = (
    (236, 233, 226),
    (255, 255, 255),
    (90, 150, 235),
    (225, 110, 40),
    (200, 30, 40),
    (60, 60, 66),
)
Pixel = Callable[[XY], XY]
"""From metres east and north to columns and rows."""
_SMOOTH = 2  # drawn at twice the size, then reduced


def draw_map(
    city: City | None,
    *,
    way: Sequence[XY],
    walked: Sequence[XY],
    position: XY,
    heading: float,
    size: tuple[int, int],
    margin: float = 35.0,
) -> Image:
    """The map around a way. Without a city only the way itself is drawn. North is up."""
    height, width = size
    canvas = PILImage.new("RGB", (width * _SMOOTH, height * _SMOOTH), PAPER)
    draw = ImageDraw.Draw(canvas)
    points = np.array([*way, *walked, position], float)
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    scale = _SMOOTH * min(width / (high[0] - low[0]), height / (high[1] - low[1]))
    centre = (low + high) / 2

    def pixel(xy: XY) -> XY:
        return (
            width * _SMOOTH / 2 + (xy[0] - centre[0]) * scale,
            height * _SMOOTH / 2 - (xy[1] - centre[1]) * scale,
        )

    if city is not None:
        _draw_streets(draw, city, pixel, scale)
        _draw_landmarks(canvas, draw, city, pixel, scale)
    dot = max(3.0, 2.2 * scale)
    for line, colour, thickness in ((way, WAY, 1.0), (walked, WALKED, 0.55)):
        if len(line) > 1:
            draw.line([pixel(p) for p in line], colour, round(dot * thickness), joint="curve")
    if way:
        _ring(draw, pixel(way[-1]), dot * 1.6, WAY)
    _arrow(draw, pixel(position), heading, dot * 2.4)
    return np.asarray(canvas.resize((width, height), PILImage.Resampling.LANCZOS))


def _draw_streets(draw: ImageDraw.ImageDraw, city: City, pixel: Pixel, scale: float) -> None:
    for street in city.streets:
        ends = [pixel(as_xy(city.nodes[node])) for node in (street.u, street.v)]
        draw.line(ends, STREET, max(2, round(street.width * 0.7 * scale)))
        for end in ends:  # round joints
            radius = street.width * 0.35 * scale
            draw.ellipse(
                (end[0] - radius, end[1] - radius, end[0] + radius, end[1] + radius), STREET
            )


def _draw_landmarks(
    canvas: PILImage.Image, draw: ImageDraw.ImageDraw, city: City, pixel: Pixel, scale: float
) -> None:
    """Emblems where the signs hang; their names where there is room for them."""
    font = typeface("DejaVuSans.ttf", 8 * _SMOOTH)
    size = round(min(18 * _SMOOTH, max(5 * _SMOOTH, 5.0 * scale)))
    written: list[tuple[float, float, float, float]] = []
    for landmark in city.landmarks:
        x, y = pixel((landmark.x, landmark.y))
        if not (0 <= x < canvas.width and 0 <= y < canvas.height):
            continue
        emblem = emblem_image(landmark.emblem, size)
        canvas.paste(emblem, (round(x - size / 2), round(y - size / 2)), emblem)
        box = draw.textbbox((x, y + size * 0.9), landmark.name, font, anchor="mm")
        free = all(
            box[2] < b[0] or b[2] < box[0] or box[3] < b[1] or b[3] < box[1] for b in written
        )
        if size >= 12 * _SMOOTH and free and box[0] > 0 and box[2] < canvas.width:
            draw.text((x, y + size * 0.9), landmark.name, INK, font, anchor="mm")
            written.append(box)


def _ring(draw: ImageDraw.ImageDraw, at: XY, radius: float, colour: tuple[int, int, int]) -> None:
    x, y = at
    box = (x - radius, y - radius, x + radius, y + radius)
    draw.ellipse(box, fill=(255, 255, 255), outline=colour, width=max(2, round(radius / 2.5)))


def _arrow(draw: ImageDraw.ImageDraw, at: XY, heading: float, length: float) -> None:
    def corner(angle: float, reach: float) -> XY:
        radians = math.radians(heading + angle)
        return at[0] + reach * math.sin(radians), at[1] - reach * math.cos(radians)

    corners = [corner(0, length), corner(145, length), corner(180, length / 3), corner(215, length)]
    draw.polygon(corners, fill=AGENT, outline=(255, 255, 255))
