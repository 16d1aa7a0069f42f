"""Angles, places and their names.

Headings and bearings are degrees clockwise from north in [0, 360). A turn is the signed angle in
(-180, 180], positive to the right. Places are (latitude, longitude) in degrees; a `Projection`
takes them to metres east and north of an origin and back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

LatLng = tuple[float, float]
XY = tuple[float, float]

EARTH_RADIUS_M = 6_371_008.8
COMPASS = ("north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest")
RELATIVE = ("left", "right", "slightly left", "slightly right")
VIEW_SIDES = ("front", "right", "back", "left")


def as_latlng(value: Any) -> LatLng | None:
    """What a file gives as a place: a pair of numbers within their ranges, else None."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    if any(isinstance(part, bool) or not isinstance(part, int | float) for part in value):
        return None
    try:
        latitude, longitude = map(float, value)
    except OverflowError:  # a whole number that no float can hold
        return None
    # Comparisons with nan are false, so nan is out of range as well.
    return (latitude, longitude) if abs(latitude) <= 90 and abs(longitude) <= 360 else None


def as_xy(point: Iterable[float]) -> XY:
    """A row of an array as a plain pair."""
    x, y = point
    return float(x), float(y)


def wrap(degrees: float) -> float:
    """Any angle as a heading in [0, 360)."""
    wrapped = degrees % 360.0
    return 0.0 if wrapped == 360.0 else wrapped  # a tiny negative rounds up to 360.0


def turn_between(heading: float, target: float) -> float:
    """The signed turn in (-180, 180] that takes `heading` to `target`; right is positive."""
    turn = wrap(target - heading)
    return turn - 360.0 if turn > 180.0 else turn


def compass_name(heading: float) -> str:
    """The nearest of the eight compass names."""
    return COMPASS[int(wrap(heading + 22.5) // 45.0) % 8]


def view_side(heading: float, bearing: float) -> str:
    """Which of the four 90-degree views (front, right, back, left) shows a bearing."""
    return VIEW_SIDES[int(wrap(bearing - heading + 45.0) // 90.0) % 4]


def haversine(a: LatLng, b: LatLng) -> float:
    """Great-circle distance in metres."""
    lat1, lng1, lat2, lng2 = map(math.radians, (*a, *b))
    h = (
        math.sin((lat2 - lat1) / 2) ** 2
        + math.cos(lat1) * math.cos(lat2) * math.sin((lng2 - lng1) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(h)))


def bearing(a: LatLng, b: LatLng) -> float:
    """The initial compass bearing of the great circle from `a` to `b`."""
    lat1, lng1, lat2, lng2 = map(math.radians, (*a, *b))
    east = math.sin(lng2 - lng1) * math.cos(lat2)
    north = math.cos(lat1) * math.sin(lat2) - math.sin(lat1) * math.cos(lat2) * math.cos(
        lng2 - lng1
    )
    return wrap(math.degrees(math.atan2(east, north)))


def bearing_xy(a: XY, b: XY) -> float:
    """The compass bearing from `a` to `b` on the plane (metres east, north)."""
    return wrap(math.degrees(math.atan2(b[0] - a[0], b[1] - a[1])))


@dataclass(frozen=True)
class Projection:
    """A flat map around `origin`: exact to centimetres over a city district."""

    origin: LatLng

    @property
    def _metres_per_degree(self) -> tuple[float, float]:
        per_lat = math.radians(1.0) * EARTH_RADIUS_M
        return per_lat, per_lat * math.cos(math.radians(self.origin[0]))

    def to_xy(self, place: LatLng) -> XY:
        per_lat, per_lng = self._metres_per_degree
        return (place[1] - self.origin[1]) * per_lng, (place[0] - self.origin[0]) * per_lat

    def to_latlng(self, xy: XY) -> LatLng:
        per_lat, per_lng = self._metres_per_degree
        return self.origin[0] + xy[1] / per_lat, self.origin[1] + xy[0] / per_lng
