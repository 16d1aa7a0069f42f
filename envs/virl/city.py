"""A city: its street graph, its landmarks, and how it looks.

Coordinates are metres east and north of `origin`. Streets are straight between nodes; a bend is a
node with two streets, an intersection a node with three or more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from envs.virl.geo import LatLng, Projection

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (214, 39, 40),
    "orange": (255, 140, 0),
    "yellow": (250, 210, 30),
    "green": (40, 150, 60),
    "blue": (30, 90, 210),
    "purple": (130, 50, 170),
    "pink": (245, 120, 180),
    "black": (25, 25, 25),
}
SHAPES = ("circle", "square", "triangle", "diamond", "star", "hexagon")
KINDS = ("cafe", "bakery", "bank", "bookshop", "pharmacy", "hotel", "florist", "theatre")


@dataclass(frozen=True)
class Emblem:
    """What a sign shows beside the name: a `shape` in a `colour` with the glyph of the `kind`."""

    colour: str
    shape: str
    kind: str


@dataclass(frozen=True)
class Landmark:
    """A shop with a sign on its facade at (x, y); `facing` is the compass heading it looks to."""

    name: str
    emblem: Emblem
    x: float
    y: float
    facing: float


@dataclass(frozen=True)
class Look:
    """A city's day: colours of what is drawn, heights of the houses in metres (low, high)."""

    sky: tuple[RGB, RGB]
    road: RGB
    pavement: RGB
    facades: tuple[RGB, ...]
    heights: tuple[float, float]


@dataclass(frozen=True)
class Street:
    """A straight piece of street between the nodes `u` and `v`; `width` between the facades."""

    u: int
    v: int
    name: str
    width: float


@dataclass(frozen=True, eq=False)
class City:
    """`nodes` is an N x 2 array in metres east and north of `origin`."""

    name: str
    title: str
    origin: LatLng
    attribution: str
    look: Look
    nodes: np.ndarray
    streets: tuple[Street, ...]
    landmarks: tuple[Landmark, ...]

    @cached_property
    def projection(self) -> Projection:
        return Projection(self.origin)

    @cached_property
    def neighbours(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """For each node, its (neighbouring node, index of the street) pairs."""
        table: list[list[tuple[int, int]]] = [[] for _ in self.nodes]
        for index, street in enumerate(self.streets):
            table[street.u].append((street.v, index))
            table[street.v].append((street.u, index))
        return tuple(tuple(row) for row in table)

    def is_intersection(self, node: int) -> bool:
        return len(self.neighbours[node]) >= 3
