"""The houses of a city: its streets' facade lines, cut at the corners and divided into plots.

`build_walls` is run once per city and gives plain arrays; the street views only project them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from envs.virl.city import City, Street

STOREY_M = 3.4
_NARROWEST_M, _WIDEST_M = 7.0, 13.0


@dataclass(frozen=True)
class Walls:
    """One row a house front: from `a` to `b` (metres east, north), the street on its left."""

    a: np.ndarray
    b: np.ndarray
    height: np.ndarray
    colour: np.ndarray
    street: np.ndarray


def build_walls(city: City) -> Walls:
    """All house fronts, decided by the city's name and look alone."""
    rng = np.random.default_rng([len(city.name), *city.name.encode()])
    cuts = _corner_cuts(city)
    a, b, height, colour, streets = [], [], [], [], []
    for index, street in enumerate(city.streets):
        u, v = city.nodes[street.u], city.nodes[street.v]
        length = float(np.linalg.norm(v - u))
        ahead = (v - u) / length
        right = np.array([ahead[1], -ahead[0]])
        for side in (1, -1):
            first = cuts[index, street.u, side]
            last = length - cuts[index, street.v, -side]
            if last - first < 1.0:
                continue
            line = u + right * side * street.width / 2
            marks = _plots(rng, first, last)
            for start, end in itertools.pairwise(marks):
                corners = (line + ahead * start, line + ahead * end)
                a.append(corners[0 if side > 0 else 1])
                b.append(corners[1 if side > 0 else 0])
                height.append(rng.uniform(*city.look.heights))
                shade = city.look.facades[int(rng.integers(len(city.look.facades)))]
                colour.append(np.array(shade) * rng.uniform(0.9, 1.08))
                streets.append(index)
        _close_dead_ends(city, index, street, a, b, height, colour, streets)
    return Walls(
        np.array(a).reshape(-1, 2),
        np.array(b).reshape(-1, 2),
        np.array(height),
        np.array(colour).reshape(-1, 3),
        np.array(streets, int),
    )


def _plots(rng: np.random.Generator, first: float, last: float) -> list[float]:
    marks = [first]
    while last - marks[-1] > _WIDEST_M:
        marks.append(marks[-1] + float(rng.uniform(_NARROWEST_M, _WIDEST_M)))
    return [*marks, last]


def _corner_cuts(city: City) -> dict[tuple[int, int, int], float]:
    """(street, node, side seen when leaving the node) -> metres from the node to the block's corner.

    Neighbouring streets around a node meet where the right facade line of one crosses the left
    facade line of the next one clockwise.
    """
    cuts: dict[tuple[int, int, int], float] = {}
    for node in range(len(city.nodes)):
        arms = []
        for neighbour, index in city.neighbours[node]:
            out = city.nodes[neighbour] - city.nodes[node]
            length = float(np.linalg.norm(out))
            arms.append((np.arctan2(out[0], out[1]), index, out / length, length))
        arms.sort(key=lambda arm: arm[0])
        for k, (_, index, d, length) in enumerate(arms):
            _, other, e, other_length = arms[(k + 1) % len(arms)]
            w, x = city.streets[index].width / 2, city.streets[other].width / 2
            s = t = 0.0
            cross = d[0] * e[1] - d[1] * e[0]
            if len(arms) > 1 and abs(cross) > 0.2:
                right_d, left_e = np.array([d[1], -d[0]]), np.array([-e[1], e[0]])
                gap = left_e * x - right_d * w
                s = float((gap[0] * e[1] - gap[1] * e[0]) / cross)
                t = float((gap[0] * d[1] - gap[1] * d[0]) / cross)
            cuts[index, node, 1] = float(np.clip(s, 0.0, 0.45 * length))
            cuts[other, node, -1] = float(np.clip(t, 0.0, 0.45 * other_length))
    return cuts


def _close_dead_ends(
    city: City,
    index: int,
    street: Street,
    a: list,
    b: list,
    height: list,
    colour: list,
    streets: list,
) -> None:
    """A house across the end of a street that leads nowhere."""
    for node, other in ((street.u, street.v), (street.v, street.u)):
        if len(city.neighbours[node]) > 1:
            continue
        out = city.nodes[node] - city.nodes[other]
        out = out / np.linalg.norm(out)
        aside = np.array([out[1], -out[0]]) * street.width / 2
        end = city.nodes[node] + out * 4.0
        a.append(end + aside)
        b.append(end - aside)
        height.append(city.look.heights[0])
        colour.append(np.array(city.look.facades[0], float))
        streets.append(index)
