"""What a camera sees from a street: drawn, fast, and true to the map.

    StreetViews(city).views((x, y), heading, height, width) -> {"front": picture, "right": ...}

Four pinhole cameras of 90 degrees stand 2.2 m above the street and look forward, right, back and
left, so together they see the full circle and each bearing lies in exactly one view. Ground, houses
and signs are painted from far to near. A landmark's sign hangs at its true bearing, is seen only with
a free line of sight, and shrinks with distance. Same place, same pixels.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from functools import lru_cache

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw

from envs.contract import Image
from envs.virl.city import COLOURS, RGB, City
from envs.virl.facades import STOREY_M, Walls, build_walls
from envs.virl.geo import VIEW_SIDES, XY
from envs.virl.signs import emblem_image, name_image

EYE_M = 2.2
HORIZON = 0.56  # of the picture's height, from the top
FAR_M = 130.0
NEAR_M = 0.6
SIGN_FAR_M = 45.0
SIGN_M = 4.6
SIGN_HEIGHT_M = 4.4
ROAD_SHARE = 0.56  # of the distance between the facades
_CACHED_BYTES = 64 * 2**20


class StreetViews:
    """The street views of one city."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._walls = build_walls(city)
        self._wall_centre = (self._walls.a + self._walls.b) / 2
        self._starts = np.array([city.nodes[s.u] for s in city.streets])
        self._ends = np.array([city.nodes[s.v] for s in city.streets])
        self._roads = np.array([s.width * ROAD_SHARE / 2 for s in city.streets])
        marks = city.landmarks
        self._marks = np.array([[m.x, m.y] for m in marks]).reshape(-1, 2)
        self._painted: OrderedDict[tuple[XY, float, int, int], dict[str, Image]] = OrderedDict()

    def views(self, position: XY, heading: float, height: int, width: int) -> dict[str, Image]:
        """The four views by side, read-only."""
        key = (position, heading, height, width)
        if key in self._painted:
            self._painted.move_to_end(key)
            return self._painted[key]
        scene = self._look_around(position, heading)
        views = {
            side: self._paint(scene, quarter, height, width)
            for quarter, side in enumerate(VIEW_SIDES)
        }
        self._painted[key] = views
        if len(self._painted) * 12 * height * width > _CACHED_BYTES:
            self._painted.popitem(last=False)
        return views

    def view(self, position: XY, heading: float, height: int, width: int) -> Image:
        """What lies straight ahead."""
        return self.views(position, heading, height, width)["front"]

    def _look_around(self, position: XY, heading: float) -> _Scene:
        """All that is near, in the camera's own axes: metres ahead, metres to the right."""
        here = np.array(position, float)
        radians = math.radians(heading)
        axes = np.array([[math.sin(radians), math.cos(radians)], [math.cos(radians), -math.sin(radians)]])

        def seen(points: np.ndarray) -> np.ndarray:
            return (points - here) @ axes.T

        walls = self._walls
        away = np.linalg.norm(self._wall_centre - here, axis=1)
        a, b = walls.a - here, walls.b - here
        along = walls.b - walls.a
        in_the_street = along[:, 1] * a[:, 0] - along[:, 0] * a[:, 1] > 0  # not behind the house
        near = np.flatnonzero((away < FAR_M) & in_the_street)
        near = near[np.argsort(-away[near], kind="stable")]
        streets = np.flatnonzero(self._street_distance(here) < FAR_M)
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
            road_ends=np.stack([seen(self._starts[streets]), seen(self._ends[streets])], axis=1),
            road_half=self._roads[streets],
            marks=seen(self._marks[order]),
            mark_index=order,
        )

    def _street_distance(self, here: np.ndarray) -> np.ndarray:
        along = self._ends - self._starts
        t = ((here - self._starts) * along).sum(axis=1) / (along**2).sum(axis=1)
        nearest = self._starts + np.clip(t, 0, 1)[:, None] * along
        return np.linalg.norm(nearest - here, axis=1)

    def _paint(self, scene: _Scene, quarter: int, height: int, width: int) -> Image:
        look = self._city.look
        canvas = _backdrop(look.sky, look.pavement, height, width).copy()
        draw = ImageDraw.Draw(canvas)
        lens = _Lens(height, width)
        _paint_roads(draw, lens, scene, quarter, look.road)
        _paint_walls(draw, lens, scene, quarter)
        for place, index in zip(_turned(scene.marks, quarter), scene.mark_index, strict=True):
            if abs(place[1]) < place[0] * 1.3:  # a sign may hang over the edge of the picture
                self._paint_sign(canvas, lens, place, int(index))
        picture = np.asarray(canvas)
        picture.setflags(write=False)
        return picture

    def _paint_sign(
        self, canvas: PILImage.Image, lens: _Lens, place: np.ndarray, index: int
    ) -> None:
        mark = self._city.landmarks[index]
        away = float(np.hypot(*place))
        size = max(3, round(lens.focal * SIGN_M / away))
        column = lens.column(place[0], place[1])
        row = lens.row(place[0], SIGN_HEIGHT_M)
        emblem = emblem_image(mark.emblem, size)
        corner = (round(column - size / 2), round(max(row - size / 2, 0.02 * canvas.height)))
        canvas.paste(emblem, corner, emblem)
        letters = round(size * 0.3)
        if letters >= 8:
            board = name_image(mark.name, letters)
            below = (round(column - board.width / 2), corner[1] + size)
            canvas.paste(board, below)


class _Scene:
    """What surrounds a place, in the axes of the camera that looks forward; far things first."""

    def __init__(self, **arrays: np.ndarray) -> None:
        self.a, self.b = arrays["a"], arrays["b"]
        self.wall_height, self.wall_colour = arrays["wall_height"], arrays["wall_colour"]
        self.road_ends, self.road_half = arrays["road_ends"], arrays["road_half"]
        self.marks, self.mark_index = arrays["marks"], arrays["mark_index"]


class _Lens:
    """Projects metres ahead, right and up to columns and rows."""

    def __init__(self, height: int, width: int) -> None:
        self.focal = width / 2  # 90 degrees
        self.middle = width / 2
        self.horizon = height * HORIZON

    def column(self, ahead: float, right: float) -> float:
        return self.middle + self.focal * right / ahead

    def row(self, ahead: float, up: float) -> float:
        return self.horizon - self.focal * (up - EYE_M) / ahead


def _turned(points: np.ndarray, quarter: int) -> np.ndarray:
    """Points (ahead, right) as seen after turning right by so many quarters."""
    ahead, right = points[..., 0], points[..., 1]
    pair = ((ahead, right), (right, -ahead), (-ahead, -right), (-right, ahead))[quarter]
    return np.stack(pair, axis=-1)


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


def _paint_roads(
    draw: ImageDraw.ImageDraw, lens: _Lens, scene: _Scene, quarter: int, colour: RGB
) -> None:
    ends = _turned(scene.road_ends, quarter)
    ahead = (ends[..., 0] > NEAR_M).any(axis=1)
    line = tuple(min(255, part + 95) for part in colour)
    for (u, v), half in zip(ends[ahead], scene.road_half[ahead], strict=True):
        along = (v - u) / max(float(np.hypot(*(v - u))), 1e-6)
        aside = np.array([along[1], -along[0]]) * half
        u, v = u - along * half * 0.8, v + along * half * 0.8  # over the middle of the crossing
        _paint_ground(draw, lens, (u - aside, v - aside, v + aside, u + aside), colour)
    for u, v in ends[ahead]:
        _paint_dashes(draw, lens, u, v, line)


def _paint_dashes(
    draw: ImageDraw.ImageDraw, lens: _Lens, u: np.ndarray, v: np.ndarray, colour: tuple[int, ...]
) -> None:
    """The broken line in the middle of a street, near the camera and off the crossings."""
    length = float(np.hypot(*(v - u)))
    along = (v - u) / max(length, 1e-6)
    aside = np.array([along[1], -along[0]]) * 0.12
    for start in np.arange(10.0, length - 12.0, 5.0):
        a = u + along * start
        if 0 < a[0] < 35.0 and abs(a[1]) < a[0] + 4:
            b = a + along * 2.4
            _paint_ground(draw, lens, (a - aside, b - aside, b + aside, a + aside), colour)


def _paint_ground(
    draw: ImageDraw.ImageDraw, lens: _Lens, corners: tuple[np.ndarray, ...], colour: tuple[int, ...]
) -> None:
    """A polygon on the ground, cut off at the near plane."""
    kept: list[tuple[float, float]] = []
    for p, q in zip(corners, (*corners[1:], corners[0]), strict=True):
        if p[0] >= NEAR_M:
            kept.append((p[0], p[1]))
        if (p[0] < NEAR_M) != (q[0] < NEAR_M):
            share = (NEAR_M - p[0]) / (q[0] - p[0])
            kept.append((NEAR_M, p[1] + share * (q[1] - p[1])))
    if len(kept) >= 3:
        draw.polygon([(lens.column(x, y), lens.row(x, 0.0)) for x, y in kept], colour)


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
    colours = scene.wall_colour[chosen]
    for k in range(len(chosen)):
        _paint_house(
            draw,
            (float(left[k]), float(right[k])),
            rows[k].tolist(),
            tuple(colours[k].tolist()),
            float(heights[k]),
        )


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
    columns: tuple[float, float],
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
    if storey_pixels < 3.5 or wide < 5:
        return
    glass = tuple(int(part * 0.45 + 40) for part in colour)

    def at(share: float, up: float) -> tuple[float, float]:
        # Straight lines stay straight, but shares along a receding wall shrink with distance.
        near0, near1 = foot0 - top0, foot1 - top1
        t = share * near0 / ((1 - share) * near1 + share * near0)
        foot, top = foot0 + (foot1 - foot0) * t, top0 + (top1 - top0) * t
        return x0 + (x1 - x0) * t, foot + (top - foot) * up

    def panel(left: float, right: float, low: float, high: float, fill: tuple[int, ...]) -> None:
        draw.polygon([at(left, low), at(right, low), at(right, high), at(left, high)], fill)

    ground = tuple(int(part * 0.78) for part in colour)
    panel(0.0, 1.0, 0.0, 0.92 / storeys, ground)
    panel(0.12, 0.88, 0.12 / storeys, 0.72 / storeys, glass)
    windows = 4 if storey_pixels >= 9 and wide >= 24 else 1
    for storey in range(1, storeys):
        low, high = (storey + 0.25) / storeys, (storey + 0.75) / storeys
        for k in range(windows):
            gap = 0.5 if windows > 1 else 0.86
            centre = (k + 0.5) / windows
            panel(centre - gap / windows / 2, centre + gap / windows / 2, low, high, glass)

