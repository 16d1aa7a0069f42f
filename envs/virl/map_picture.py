"""A bird's-eye map for people: streets, landmarks, the way to go, the way gone, the agent."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont

from envs.contract import Image
from envs.paths import asset
from envs.virl.city import COLOURS, City
from envs.virl.geo import XY

PAPER, STREET, WAY, WALKED, AGENT, INK = (
    (236, 233, 226),
    (255, 255, 255),
    (90, 150, 235),
    (225, 110, 40),
    (200, 30, 40),
    (60, 60, 66),
)
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
        _draw_city(draw, city, pixel, scale)
    dot = max(3.0, 2.2 * scale)
    for line, colour, thickness in ((way, WAY, 1.0), (walked, WALKED, 0.55)):
        if len(line) > 1:
            draw.line([pixel(p) for p in line], colour, round(dot * thickness), joint="curve")
    if way:
        _ring(draw, pixel(way[-1]), dot * 1.6, WAY)
    _arrow(draw, pixel(position), heading, dot * 2.4)
    return np.asarray(canvas.resize((width, height), PILImage.Resampling.LANCZOS))


def _draw_city(draw: ImageDraw.ImageDraw, city: City, pixel, scale: float) -> None:  # type: ignore[no-untyped-def]
    for street in city.streets:
        ends = [pixel(tuple(city.nodes[node])) for node in (street.u, street.v)]
        draw.line(ends, STREET, max(2, round(street.width * 0.7 * scale)))
        for end in ends:  # round joints
            radius = street.width * 0.35 * scale
            draw.ellipse(
                (end[0] - radius, end[1] - radius, end[0] + radius, end[1] + radius), STREET
            )
    font = ImageFont.truetype(asset("fonts", "DejaVuSans.ttf"), 9 * _SMOOTH)
    half = max(3.0, 2.0 * scale)
    for landmark in city.landmarks:
        x, y = pixel((landmark.x, landmark.y))
        draw.rectangle((x - half, y - half, x + half, y + half), COLOURS[landmark.emblem.colour])
        if scale > 2.2 * _SMOOTH:
            draw.text((x + half + 2, y), landmark.name, INK, font, anchor="lm")


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
