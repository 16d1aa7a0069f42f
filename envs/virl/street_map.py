"""The standing points of a city: where an agent can be, what is next to it, what it sees there.

Points are the nodes of the street graph, then evenly spaced ones along each street. All sources of
routes and both modes stand on the same points.
"""

from __future__ import annotations

import itertools
import math
from functools import cached_property, lru_cache

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from envs.virl.city import City, Landmark
from envs.virl.geo import LatLng, as_xy, bearing_xy
from envs.virl.route import Place, Sighting

STEP_M = 20.0
"""What one step forward is about; a street is divided evenly."""
SIGHT_M = 25.0
"""How far a landmark is noticed."""
MOST_SIGHTINGS = 2


class StreetMap:
    """`points` is a P x 2 array in metres; a point is an index into it."""

    def __init__(self, city: City, step: float = STEP_M) -> None:
        self.city = city
        points, links, streets_at = _stand(city, step)
        self.points = points
        self._links = links
        self._streets_at = streets_at
        self._tree = cKDTree(points)
        self._places: dict[int, Place] = {}
        self._street_of_landmark = _streets_of(city)

    def neighbours(self, point: int) -> tuple[tuple[int, float], ...]:
        """The (point, heading) pairs that one step forward can lead to."""
        return self._links[point]

    def gap(self, a: int, b: int) -> float:
        return math.dist(self.points[a], self.points[b])

    def at_intersection(self, point: int) -> bool:
        return len(self._links[point]) >= 3

    def nearest(self, position: LatLng) -> int:
        return int(self._tree.query(self.city.projection.to_xy(position))[1])

    def place(self, point: int) -> Place:
        """The point as routes hold it, with what is seen there."""
        if point not in self._places:
            xy = as_xy(self.points[point])
            self._places[point] = Place(
                position=self.city.projection.to_latlng(xy),
                at_intersection=self.at_intersection(point),
                sightings=self._sightings(point),
            )
        return self._places[point]

    def distances_to(self, goal: int) -> np.ndarray:
        """Metres to walk from every point to `goal`; infinite where there is no way."""
        return dijkstra(self._graph, directed=False, indices=goal)

    @cached_property
    def _graph(self) -> csr_matrix:
        pairs = [(a, b) for a, links in enumerate(self._links) for b, _ in links]
        gaps = [self.gap(a, b) for a, b in pairs]
        shape = (len(self.points), len(self.points))
        return csr_matrix((gaps, np.array(pairs).T), shape=shape)

    def _sightings(self, point: int) -> tuple[Sighting, ...]:
        """Landmarks in sight: near, and on a street that the point stands on."""
        here = as_xy(self.points[point])
        seen = []
        for index, mark in enumerate(self.city.landmarks):
            far = math.hypot(mark.x - here[0], mark.y - here[1])
            if far <= SIGHT_M and self._street_of_landmark[index] in self._streets_at[point]:
                seen.append(Sighting(mark.name, bearing_xy(here, (mark.x, mark.y)), far))
        seen.sort(key=lambda sighting: sighting.distance or 0.0)
        return tuple(seen[:MOST_SIGHTINGS])


def _stand(
    city: City, step: float
) -> tuple[np.ndarray, tuple[tuple[tuple[int, float], ...], ...], list[set[int]]]:
    """Points, their links, and the streets that each point stands on."""
    points = [as_xy(node) for node in city.nodes]
    chains = []
    streets_at: list[set[int]] = [set() for _ in points]
    for index, street in enumerate(city.streets):
        u, v = city.nodes[street.u], city.nodes[street.v]
        pieces = max(1, round(float(np.linalg.norm(v - u)) / step))
        chain = [street.u]
        for k in range(1, pieces):
            chain.append(len(points))
            points.append(as_xy(u + (v - u) * k / pieces))
            streets_at.append(set())
        chain.append(street.v)
        chains.append(chain)
        for point in chain:
            streets_at[point].add(index)
    links: list[list[tuple[int, float]]] = [[] for _ in points]
    for chain in chains:
        for a, b in itertools.pairwise(chain):
            links[a].append((b, bearing_xy(points[a], points[b])))
            links[b].append((a, bearing_xy(points[b], points[a])))
    return np.array(points), tuple(map(tuple, links)), streets_at


def _streets_of(city: City) -> list[int]:
    """For each landmark, the street whose facade it stands on."""
    starts = np.array([city.nodes[s.u] for s in city.streets])
    ends = np.array([city.nodes[s.v] for s in city.streets])
    along = ends - starts
    squares = (along**2).sum(axis=1)
    widths = np.array([s.width for s in city.streets])

    def street_of(mark: Landmark) -> int:
        offset = np.array([mark.x, mark.y]) - starts
        t = np.clip((offset * along).sum(axis=1) / squares, 0, 1)
        gaps = np.linalg.norm(offset - t[:, None] * along, axis=1)
        return int(np.argmin(np.abs(gaps - widths / 2) + 100.0 * (gaps > widths)))

    return [street_of(mark) for mark in city.landmarks]


@lru_cache(maxsize=8)
def street_map(city: City) -> StreetMap:
    """The map of a city, built once."""
    return StreetMap(city)
