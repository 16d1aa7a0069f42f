"""A route as every source gives it: embedded cities sample it, published data is read into it.

A route is a start and a list of legs. At the foot of a leg the agent turns to `turn_to`, walks the
places of `path`, and reaches `end`: an intersection, or on the last leg the destination.
"""

from __future__ import annotations

from dataclasses import dataclass

from envs.virl.geo import LatLng


@dataclass(frozen=True)
class Sighting:
    """A landmark as seen from a place: its name, compass bearing, and distance where known.

    `said` is where it is in a source's own words ("is on your left"), if they are to be kept.
    """

    name: str
    bearing: float
    distance: float | None = None
    said: str | None = None


@dataclass(frozen=True)
class Place:
    """Where the agent can stand. `sightings` are nearest first. `panorama` names a published picture."""

    position: LatLng
    at_intersection: bool = False
    sightings: tuple[Sighting, ...] = ()
    panorama: str | None = None


@dataclass(frozen=True)
class Leg:
    """One straight errand of a route: turn, walk, arrive.

    `landmark` is the sighting at `end` that the instruction names, None if there is none.
    """

    turn_to: float
    path: tuple[Place, ...]
    end: Place
    landmark: Sighting | None
    length: float


@dataclass(frozen=True)
class Route:
    """`legs` is never empty; the end of the last one is the destination."""

    name: str
    start: Place
    start_heading: float
    legs: tuple[Leg, ...]

    @property
    def way(self) -> list[Place]:
        """Every place from the start to the destination."""
        return [self.start, *(place for leg in self.legs for place in (*leg.path, leg.end))]
