"""What a camera sees from a street: drawn, fast, and true to the map.

    StreetViews(city).views((x, y), heading, height, width) -> {"front": picture, "right": ...}

Four pinhole cameras of 90 degrees stand 2.2 m above the street and look forward, right, back and
left, so together they see the full circle and each bearing lies in exactly one view. Ground, houses
and signs are painted from far to near. A landmark's sign hangs at its true bearing, is seen only with
a free line of sight, and shrinks with distance. Same place, same pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw

from envs.bounded_cache import BoundedCache
from envs.contract import Image
from envs.virl.city import RGB, City
from envs.virl.facades import STOREY_M, build_walls
from envs.virl.geo import VIEW_SIDES, XY
from envs.virl.signs import emblem_image, name_image

EYE_M = 2.2
HORIZON = 0.56  # of the picture's height, from the top
FAR_M = 100.0
ROAD_FAR_M = 90.0
DASH_FAR_M = 32.0
NEAR_M = 0.6
SIGN_FAR_M = 45.0
SIGN_NEAR_M = 2.5  # from here on a sign grows no more
SIGN_M = 6.5
SIGN_HEIGHT_M = 5.0
ROAD_SHARE = 0.56  # of the distance between the facades
WINDOWS_FROM, BANDS_FROM = 12.0, 4.0
"""Pixels a storey must have to show single windows, and to show any."""
CACHED_BYTES = 64 * 2**20


class StreetViews:
    """The street views of one city."""

    def __init__(self, city: City, cached_bytes: int = CACHED_BYTES) -> None:
        """`cached_bytes` bounds the pictures that are kept for being asked for again."""
        self._city = city
        self._walls = build_walls(city)
        self._wall_centre = (self._walls.a + self._walls.b) / 2
        self._roads, self._dashes = _road_quads(city), _dash_quads(city)
        self._road_middle, self._dash_middle = self._roads.mean(axis=1), self._dashes.mean(axis=1)
        self._road_reach = np.linalg.norm(self._roads[:, 0] - self._road_middle, axis=1)
        marks = city.landmarks
        self._marks = np.array([[m.x, m.y] for m in marks]).reshape(-1, 2)
        self._painted: BoundedCache[dict[str, Image]] = BoundedCache(cached_bytes)

    def views(self, position: XY, heading: float, height: int, width: int) -> dict[str, Image]:
        """The four views by side, read-only."""

        def paint() -> dict[str, Image]:
            scene = self._look_around(position, heading)
            return {
                side: self._paint(scene, quarter, height, width)
                for quarter, side in enumerate(VIEW_SIDES)
            }

        key = (position, heading, height, width)
        return self._painted.get(key, paint, size=lambda views: 12 * height * width)

    def view(self, position: XY, heading: float, height: int, width: int) -> Image:
        """What lies straight ahead."""
        return self.views(position, heading, height, width)["front"]

    def signs(
        self, position: XY, heading: float, height: int, width: int
    ) -> dict[str, tuple[SignBox, ...]]:
        """Where the landmarks' signs are in the four views, far ones first as they are painted."""
        scene, lens = self._look_around(position, heading), _Lens(height, width)
        return {
            side: tuple(self._sign_boxes(scene, quarter, lens))
            for quarter, side in enumerate(VIEW_SIDES)
        }

    def _look_around(self, position: XY, heading: float) -> _Scene:
        """All that is near, in the camera's own axes: metres ahead, metres to the right."""
        here = np.array(position, float)
        radians = math.radians(heading)
        axes = np.array(
            [[math.sin(radians), math.cos(radians)], [math.cos(radians), -math.sin(radians)]]
        )

        def seen(points: np.ndarray) -> np.ndarray:
            return (points - here) @ axes.T

        walls = self._walls
        away = np.linalg.norm(self._wall_centre - here, axis=1)
        a, b = walls.a - here, walls.b - here
        along = walls.b - walls.a
        in_the_street = along[:, 1] * a[:, 0] - along[:, 0] * a[:, 1] > 0  # not behind the house
        near = np.flatnonzero((away < FAR_M) & in_the_street)
        near = near[np.argsort(-away[near], kind="stable")]
        roads = np.linalg.norm(self._road_middle - here, axis=1) - self._road_reach < ROAD_FAR_M
        dashes = np.linalg.norm(self._dash_middle - here, axis=1) < DASH_FAR_M
        marks = self._marks - here
        in_reach = np.flatnonzero((marks**2).sum(axis=1) < SIGN_FAR_M**2)
        in_sight = in_reach[_free_sight(marks[in_reach], a[near], b[near])]
        order = in_sight[np.argsort(-(marks[in_sight] ** 2).sum(axis=1), kind="stable")]
        colours = _lit(walls.colour[near], b[near] - a[near], away[near], self._city.look.sky[1])
        return _Scene(
            a=seen(walls.a[near]),
            b=seen(walls.b[near]),
            wall_height=walls.height[near],
            wall_colour=colours,
            roads=seen(self._roads[roads]),
            dashes=seen(self._dashes[dashes]),
            marks=seen(self._marks[order]),
            mark_index=order,
        )

    def _paint(self, scene: _Scene, quarter: int, height: int, width: int) -> Image:
        look = self._city.look
        canvas = _backdrop(look.sky, look.pavement, height, width).copy()
        draw = ImageDraw.Draw(canvas)
        lens = _Lens(height, width)
        line = tuple(min(255, part + 95) for part in look.road)
        _paint_ground(draw, lens, _turned(scene.roads, quarter), look.road)
        _paint_ground(draw, lens, _turned(scene.dashes, quarter), line)
        _paint_walls(draw, lens, scene, quarter)
        for sign in self._sign_boxes(scene, quarter, lens):
            self._paint_sign(canvas, sign)
        picture = np.asarray(canvas)
        picture.setflags(write=False)
        return picture

    def _sign_boxes(self, scene: _Scene, quarter: int, lens: _Lens) -> Iterator[SignBox]:
        for place, index in zip(_turned(scene.marks, quarter), scene.mark_index, strict=True):
            if abs(place[1]) >= place[0] * 1.3:  # a sign may hang over the edge of the picture
                continue
            size = max(3, round(lens.focal * SIGN_M / max(float(np.hypot(*place)), SIGN_NEAR_M)))
            left = round(lens.column(place[0], place[1]) - size / 2)
            top = round(max(lens.row(place[0], SIGN_HEIGHT_M) - size / 2, 0.02 * lens.height))
            yield SignBox(int(index), left, top, size)

    def _paint_sign(self, canvas: PILImage.Image, sign: SignBox) -> None:
        mark = self._city.landmarks[sign.landmark]
        emblem = emblem_image(mark.emblem, sign.size)
        canvas.paste(emblem, (sign.left, sign.top), emblem)
        letters = round(sign.size * 0.3)
        if letters >= 8:
            board = name_image(mark.name, letters)
            middle = sign.left + sign.size / 2
            canvas.paste(board, (round(middle - board.width / 2), sign.top + sign.size))


@dataclass(frozen=True)
class SignBox:
    """A landmark's sign in a view: the landmark's number in its city, and a square of pixels."""

    landmark: int
    left: int
    top: int
    size: int


@dataclass(frozen=True, eq=False)
class _Scene:
    """What surrounds a place, in the axes of the camera that looks forward; far things first."""

    a: np.ndarray
    b: np.ndarray
    wall_height: np.ndarray
    wall_colour: np.ndarray
    roads: np.ndarray
    dashes: np.ndarray
    marks: np.ndarray
    mark_index: np.ndarray


class _Lens:
    """Projects metres ahead, right and up to columns and rows."""

    def __init__(self, height: int, width: int) -> None:
        self.height = height
        self.focal = width / 2  # 90 degrees
        self.middle = width / 2
        self.horizon = height * HORIZON

    def column(self, ahead: float, right: float) -> float:
        return self.middle + self.focal * right / ahead

    def row(self, ahead: float, up: float) -> float:
        return self.horizon - self.focal * (up - EYE_M) / ahead


_QUARTERS = np.array(
    [[[1, 0], [0, 1]], [[0, -1], [1, 0]], [[-1, 0], [0, -1]], [[0, 1], [-1, 0]]], float
)


def _turned(points: np.ndarray, quarter: int) -> np.ndarray:
    """Points (ahead, right) as seen after turning right by so many quarters."""
    return points @ _QUARTERS[quarter]


def _free_sight(marks: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Which of the marks are not hidden from the origin by a wall from `a` to `b`."""
    if not len(marks) or not len(a):
        return np.ones(len(marks), bool)
    distance = np.linalg.norm(marks, axis=1, keepdims=True)
    target = marks * (1 - 0.8 / np.maximum(distance, 1.0))  # just in front of its own house

    def cross(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]

    along = (b - a)[None]
    t = target[:, None]
    ends_apart = cross(along, -a[None]) * cross(along, t - a[None]) < 0
    sides_apart = cross(t, a[None]) * cross(t, b[None]) < 0
    return ~(ends_apart & sides_apart).any(axis=1)


def _lit(colour: np.ndarray, along: np.ndarray, away: np.ndarray, haze: RGB) -> np.ndarray:
    """Facades shaded by where they face, fading into the haze far away."""
    facing = np.arctan2(along[:, 0], along[:, 1])
    light = 0.86 + 0.14 * np.cos(2 * facing + 0.7)
    fade = np.clip((away - 35.0) / 140.0, 0.0, 0.7)[:, None]
    shaded = np.clip(colour * light[:, None], 0, 255)
    return (shaded * (1 - fade) + np.array(haze) * fade).astype(int)


@lru_cache(maxsize=32)
def _backdrop(sky: tuple[RGB, RGB], ground: RGB, height: int, width: int) -> PILImage.Image:
    """Sky over ground; both grow pale towards the horizon."""
    horizon = round(height * HORIZON)
    picture = np.empty((height, width, 3))
    rise = np.linspace(0, 1, max(horizon, 1))[:, None, None]
    picture[:horizon] = np.array(sky[0]) * (1 - rise) + np.array(sky[1]) * rise
    near = np.linspace(0, 1, height - horizon)[:, None, None] ** 0.5
    far_ground = (np.array(ground) + np.array(sky[1])) / 2
    picture[horizon:] = far_ground * (1 - near) + np.array(ground) * near
    return PILImage.fromarray(picture.astype(np.uint8))


def _road_quads(city: City) -> np.ndarray:
    """The corners of each street's roadway, reaching over the middle of the crossings: S x 4 x 2."""
    u = np.array([city.nodes[s.u] for s in city.streets])
    v = np.array([city.nodes[s.v] for s in city.streets])
    half = np.array([[s.width * ROAD_SHARE / 2] for s in city.streets])
    along = (v - u) / np.linalg.norm(v - u, axis=1, keepdims=True)
    aside = np.stack([along[:, 1], -along[:, 0]], axis=1) * half
    u, v = u - along * half * 0.8, v + along * half * 0.8
    return np.stack([u - aside, v - aside, v + aside, u + aside], axis=1)


def _dash_quads(city: City) -> np.ndarray:
    """The broken lines in the middle of the streets, off the crossings: D x 4 x 2."""
    quads = []
    for street in city.streets:
        u, v = city.nodes[street.u], city.nodes[street.v]
        length = float(np.linalg.norm(v - u))
        along = (v - u) / length
        aside = np.array([along[1], -along[0]]) * 0.12
        for start in np.arange(10.0, length - 12.0, 5.0):
            a, b = u + along * start, u + along * (start + 2.4)
            quads.append([a - aside, b - aside, b + aside, a + aside])
    return np.array(quads).reshape(-1, 4, 2)


def _paint_ground(
    draw: ImageDraw.ImageDraw, lens: _Lens, quads: np.ndarray, colour: tuple[int, ...]
) -> None:
    """Polygons that lie on the ground, cut off at the near plane. All have one colour."""
    ahead, right = quads[..., 0], quads[..., 1]
    hidden = (ahead < NEAR_M).all(1) | (right > ahead).all(1) | (right < -ahead).all(1)
    whole = ~hidden & (ahead >= NEAR_M).all(1)
    depth = quads[whole][..., 0]
    columns = lens.middle + lens.focal * quads[whole][..., 1] / depth
    rows = lens.horizon + lens.focal * EYE_M / depth
    for corners in np.stack([columns, rows], axis=-1).reshape(-1, 8).tolist():
        draw.polygon(corners, colour)
    for quad in quads[~hidden & ~whole].tolist():
        kept = _cut_polygon(quad)
        draw.polygon([(lens.column(x, y), lens.row(x, 0.0)) for x, y in kept], colour)


def _cut_polygon(corners: list[list[float]]) -> list[tuple[float, float]]:
    """What of a polygon lies beyond the near plane."""
    kept: list[tuple[float, float]] = []
    for p, q in zip(corners, (*corners[1:], corners[0]), strict=True):
        if p[0] >= NEAR_M:
            kept.append((p[0], p[1]))
        if (p[0] < NEAR_M) != (q[0] < NEAR_M):
            share = (NEAR_M - p[0]) / (q[0] - p[0])
            kept.append((NEAR_M, p[1] + share * (q[1] - p[1])))
    return kept


def _paint_walls(draw: ImageDraw.ImageDraw, lens: _Lens, scene: _Scene, quarter: int) -> None:
    a, b = _turned(scene.a, quarter), _turned(scene.b, quarter)
    in_front = (np.maximum(a[:, 0], b[:, 0]) > NEAR_M) & ~(
        ((a[:, 1] > a[:, 0]) & (b[:, 1] > b[:, 0])) | ((a[:, 1] < -a[:, 0]) & (b[:, 1] < -b[:, 0]))
    )
    chosen = np.flatnonzero(in_front)
    a, b = _cut_near(a[chosen], b[chosen])
    heights = scene.wall_height[chosen]
    left = lens.middle + lens.focal * a[:, 1] / a[:, 0]
    right = lens.middle + lens.focal * b[:, 1] / b[:, 0]
    scale_a, scale_b = lens.focal / a[:, 0], lens.focal / b[:, 0]
    rows = np.stack(
        [
            lens.horizon + scale_a * EYE_M,
            lens.horizon + scale_b * EYE_M,
            lens.horizon - scale_a * (heights - EYE_M),
            lens.horizon - scale_b * (heights - EYE_M),
        ],
        axis=1,
    )
    houses = zip(
        np.stack([left, right], axis=1).tolist(),
        rows.tolist(),
        scene.wall_colour[chosen].tolist(),
        heights.tolist(),
        strict=True,
    )
    for columns, feet_and_tops, colour, height in houses:
        _paint_house(draw, columns, feet_and_tops, tuple(colour), height)


def _cut_near(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Walls cut off at the near plane."""
    a, b = a.copy(), b.copy()
    for p, q in ((a, b), (b, a)):
        behind = p[:, 0] < NEAR_M
        share = (NEAR_M - p[behind, 0]) / (q[behind, 0] - p[behind, 0])
        p[behind] += share[:, None] * (q[behind] - p[behind])
    return a, b


def _paint_house(
    draw: ImageDraw.ImageDraw,
    columns: list[float],
    rows: list[float],
    colour: tuple[int, ...],
    height: float,
) -> None:
    """A front with a darker ground floor and windows as fine as there is room for."""
    x0, x1 = columns
    foot0, foot1, top0, top1 = rows
    draw.polygon([(x0, foot0), (x1, foot1), (x1, top1), (x0, top0)], colour)
    storeys = max(1, round(height / STOREY_M))
    storey_pixels = min(foot0 - top0, foot1 - top1) / storeys
    wide = abs(x1 - x0)
    if storey_pixels < BANDS_FROM or wide < BANDS_FROM:
        return
    glass = tuple(int(part * 0.45 + 40) for part in colour)

    def edges(left: float, right: float) -> tuple[float, float, float, float, float, float]:
        """Columns, feet and tops of a strip. Straight lines stay straight in the picture, but
        shares along a receding wall shrink with distance."""
        near0, near1 = foot0 - top0, foot1 - top1
        t = left * near0 / ((1 - left) * near1 + left * near0)
        s = right * near0 / ((1 - right) * near1 + right * near0)
        wall, foot, top = x1 - x0, foot1 - foot0, top1 - top0
        return (
            x0 + wall * t,
            x0 + wall * s,
            foot0 + foot * t,
            foot0 + foot * s,
            top0 + top * t,
            top0 + top * s,
        )

    def panel(strip: tuple[float, ...], low: float, high: float, fill: tuple[int, ...]) -> None:
        a, b, foot_a, foot_b, top_a, top_b = strip
        up_a, up_b = top_a - foot_a, top_b - foot_b
        lower = [a, foot_a + up_a * low, b, foot_b + up_b * low]
        upper = [b, foot_b + up_b * high, a, foot_a + up_a * high]
        draw.polygon(lower + upper, fill)

    ground = tuple(int(part * 0.78) for part in colour)
    panel((x0, x1, foot0, foot1, top0, top1), 0.0, 0.92 / storeys, ground)
    panel(edges(0.12, 0.88), 0.12 / storeys, 0.72 / storeys, glass)
    if storey_pixels >= WINDOWS_FROM and wide >= 2 * WINDOWS_FROM:
        strips = [edges((k + 0.25) / 4, (k + 0.75) / 4) for k in range(4)]
    else:
        strips = [edges(0.07, 0.93)]
    # Only storeys that the picture reaches: rows above the top edge cost time and show nothing.
    for storey in range(1, storeys):
        low, high = (storey + 0.25) / storeys, (storey + 0.75) / storeys
        if max(foot0 + (top0 - foot0) * low, foot1 + (top1 - foot1) * low) < 0:
            break
        for strip in strips:
            panel(strip, low, high, glass)
