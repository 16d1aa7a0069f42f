"""Routes on a city's streets, by number: `RouteBook(street_map, part)[i]` is always the same route.

The parts `train` and `eval` never share a route: a route belongs to the part that a stable hash of
its turns and its destination says, wherever on the first street it starts.

A route follows streets without meeting itself. A leg ends where the agent turns by 30 to 150
degrees at an intersection, or at the destination. Each leg's end shows a landmark whose side cannot
be mistaken, and no earlier place of the leg fits the same description.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from envs.contract import one_of
from envs.virl.geo import turn_between, view_side, wrap
from envs.virl.route import Leg, Place, Route, Sighting
from envs.virl.street_map import StreetMap

PARTS = {"train": 20_000, "eval": 2_000}
"""How many routes each part lists. Small cities repeat some."""
EVAL_SHARE = 0.2

LEGS_SHARES = {1: 0.2, 2: 0.45, 3: 0.35}
FEWEST_PLACES = 4
LONGEST_LEG_M = 170.0
STRAIGHT_BELOW = 30.0
SHARPEST_TURN = 150.0
ABEAM_M = 16.0
"""The destination is this near its landmark at most."""
SIDE_MARGIN = 8.0
"""Degrees that a landmark must be away from the border between two views."""
ENDS_SHARE = 0.5
"""How often a place that can end a leg does."""
_TRIES = 4000


class RouteBook:
    """The routes of one part of a city."""

    def __init__(self, street_map: StreetMap, part: str) -> None:
        self._map = street_map
        self._part = one_of("part", part, PARTS)

    def __len__(self) -> int:
        return PARTS[self._part]

    def __getitem__(self, index: int) -> Route:
        if not 0 <= index < len(self):
            raise IndexError(f"route {index} of {len(self)}")
        return _numbered_route(self._map, self._part, index)


@lru_cache(maxsize=20_000)
def _numbered_route(street_map: StreetMap, part: str, index: int) -> Route:
    name = f"{street_map.city.name}/{part}/{index}"
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))
    # The number of legs is drawn first: longer routes fail more often and would be rare otherwise.
    legs = int(rng.choice(list(LEGS_SHARES), p=list(LEGS_SHARES.values())))
    for _ in range(_TRIES):
        walk = _walk(street_map, rng, legs)
        if walk is not None and _part_of(street_map, walk) == part:
            return _as_route(street_map, walk, name, rng)
    raise ValueError(
        f"city {street_map.city.name!r}: found no {part} route in {_TRIES} tries; "
        "it needs intersections with landmarks within 25 m"
    )


@dataclass(frozen=True)
class _WalkedLeg:
    """The points of a leg, its foot included, and the landmark at its end."""

    points: tuple[int, ...]
    landmark: Sighting


def _walk(
    street_map: StreetMap, rng: np.random.Generator, count: int
) -> tuple[_WalkedLeg, ...] | None:
    """A random walk of `count` legs that obeys the rules of a route; None if it gets stuck."""
    here = int(rng.integers(len(street_map.points)))
    exits = street_map.neighbours(here)
    following = exits[int(rng.integers(len(exits)))]
    visited = {here}
    legs: list[_WalkedLeg] = []
    for number in range(count):
        leg = _walk_leg(street_map, rng, here, following, visited, last=number == count - 1)
        if leg is None:
            return None
        legs.append(leg)
        here = leg.points[-1]
        if number < count - 1:
            arrival = _heading(street_map, *leg.points[-2:])
            turns = [e for e in street_map.neighbours(here) if _is_turn(arrival, e[1])]
            following = turns[int(rng.integers(len(turns)))]
    return tuple(legs) if len(visited) >= FEWEST_PLACES else None


def _walk_leg(
    street_map: StreetMap,
    rng: np.random.Generator,
    here: int,
    following: tuple[int, float],
    visited: set[int],
    *,
    last: bool,
) -> _WalkedLeg | None:
    """Walks on until a place that can end the leg is chosen; None if there is none."""
    points = [here]
    seen: set[tuple[str, str]] = set()
    length = 0.0
    while True:
        point, heading = following
        length += street_map.gap(points[-1], point)
        if point in visited or length > LONGEST_LEG_M:
            return None
        visited.add(point)
        points.append(point)
        place = street_map.place(point)
        sides = {(s.name, view_side(heading, s.bearing)) for s in place.sightings}
        mark = _clear_landmark(place, heading, seen, last=last)
        if mark is not None and _can_end(street_map, point, heading, mark, last=last):  # noqa: SIM102
            if rng.random() < ENDS_SHARE:
                return _WalkedLeg(tuple(points), mark)
        if last or place.at_intersection:  # only there could the description fit
            seen |= sides
        onward = [
            e
            for e in street_map.neighbours(point)
            if abs(turn_between(heading, e[1])) < STRAIGHT_BELOW
        ]
        if not onward:
            return None
        following = min(onward, key=lambda e: abs(turn_between(heading, e[1])))


def _clear_landmark(
    place: Place, heading: float, seen: set[tuple[str, str]], *, last: bool
) -> Sighting | None:
    """The nearest landmark that tells this place from the ones before."""
    for sighting in place.sightings:
        turn = turn_between(heading, sighting.bearing)
        side = view_side(heading, sighting.bearing)
        if min(abs(abs(turn) - 45.0), abs(abs(turn) - 135.0)) < SIDE_MARGIN:
            continue
        if (sighting.name, side) in seen or side == "back" or (last and side == "front"):
            continue  # nobody is told to go until something is behind them
        return sighting
    return None


def _can_end(
    street_map: StreetMap, point: int, heading: float, mark: Sighting, *, last: bool
) -> bool:
    if last:
        return mark.distance is not None and mark.distance <= ABEAM_M
    return street_map.at_intersection(point) and any(
        _is_turn(heading, towards) for _, towards in street_map.neighbours(point)
    )


def _is_turn(heading: float, towards: float) -> bool:
    return STRAIGHT_BELOW <= abs(turn_between(heading, towards)) <= SHARPEST_TURN


def _heading(street_map: StreetMap, a: int, b: int) -> float:
    return next(towards for point, towards in street_map.neighbours(a) if point == b)


def _part_of(street_map: StreetMap, walk: tuple[_WalkedLeg, ...]) -> str:
    """By the turns, the destination and the street that leads to it: not by the start."""
    key = [street_map.city.name, *(leg.points[-1] for leg in walk), walk[-1].points[-2]]
    digest = hashlib.sha256(repr(key).encode()).digest()
    return "eval" if digest[0] < 256 * EVAL_SHARE else "train"


def _as_route(
    street_map: StreetMap, walk: tuple[_WalkedLeg, ...], name: str, rng: np.random.Generator
) -> Route:
    legs = []
    for leg in walk:
        *path, end = map(street_map.place, leg.points[1:])
        legs.append(
            Leg(
                turn_to=_heading(street_map, *leg.points[:2]),
                path=tuple(path),
                end=end,
                landmark=leg.landmark,
                length=sum(map(street_map.gap, leg.points, leg.points[1:])),
            )
        )
    aside = (0.0, 0.0, 90.0, -90.0)[int(rng.integers(4))]
    start = street_map.place(walk[0].points[0])
    return Route(name, start, wrap(legs[0].turn_to + aside), tuple(legs))
