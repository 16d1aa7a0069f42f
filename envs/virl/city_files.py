"""Cities as files: `load_city` reads an embedded city by name, or any city file by its path.

The file is JSON, checked on reading; whatever is wrong is named with its file and field.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from envs.contract import one_of
from envs.paths import asset
from envs.virl.city import COLOURS, KINDS, SHAPES, City, Emblem, Landmark, Look, Street
from envs.virl.geo import LatLng, as_latlng

CITIES = ("gridtown", "newyork", "helsinki")
FORMAT = 1
LARGEST_BYTES = 50_000_000
SHORTEST_M, LONGEST_M, ALL_M = 0.1, 10_000.0, 10_000_000.0
"""A street, and all of them: on each an agent can stand every 20 metres, which takes memory. Where both
ends are one place, there is no direction to walk in."""
TALLEST_M = 1000.0
"""Of a house; pictures have no room for endless ones."""
T = TypeVar("T")


@lru_cache(maxsize=8)
def load_city(name: str) -> City:
    """An embedded city, or the one in the file that a path ending in .json names."""
    path = Path(name)
    if path.suffix != ".json":
        path = asset("cities", f"{one_of('city', name, CITIES)}.json")
    if not path.is_file():
        raise FileNotFoundError(f"city={name!r}: there is no file {path}")
    if path.stat().st_size > LARGEST_BYTES:
        raise ValueError(f"{path} is larger than {LARGEST_BYTES} bytes: too large for a city")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f"{path}: field 'format' must be {FORMAT}; is this a city file?")
    return _city(path, data)


def save_city(city: City, path: Path) -> None:
    names = sorted({street.name for street in city.streets})
    look = city.look
    data = {
        "format": FORMAT,
        "name": city.name,
        "title": city.title,
        "attribution": city.attribution,
        "origin": city.origin,
        "look": {
            "sky": look.sky,
            "road": look.road,
            "pavement": look.pavement,
            "facades": look.facades,
            "heights": look.heights,
        },
        "street_names": names,
        "nodes": city.nodes.tolist(),
        "streets": [[s.u, s.v, names.index(s.name), s.width] for s in city.streets],
        "landmarks": [
            [m.name, m.emblem.colour, m.emblem.shape, m.emblem.kind, m.x, m.y, m.facing]
            for m in city.landmarks
        ],
    }
    lines = ",\n".join(
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}"
        for key, value in data.items()
    )
    path.write_text("{" + lines + "}\n", encoding="utf-8")


def _city(path: Path, data: dict[str, Any]) -> City:
    def field(name: str, read: Callable[[Any], T]) -> T:
        try:
            return read(data[name])
        except KeyError:
            raise ValueError(f"{path}: field {name!r} is missing") from None
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            raise ValueError(f"{path}: field {name!r} is broken: {error}") from None

    nodes = field("nodes", _points)
    names = field("street_names", lambda rows: [_text(row) for row in rows])
    streets = field("streets", lambda rows: _streets(rows, nodes, names))
    field("nodes", lambda _: _refuse_isolated(nodes, streets))
    return City(
        name=field("name", _text),
        title=field("title", _text),
        attribution=field("attribution", _text),
        origin=field("origin", _origin),
        look=field("look", _look),
        nodes=nodes,
        streets=streets,
        landmarks=field("landmarks", lambda rows: tuple(_landmark(row) for row in _filled(rows))),
    )


def _text(value: Any) -> str:
    """A ValueError of half a character, which no world may show."""
    text = str(value)
    text.encode("utf-8")
    return text


def _filled(rows: Any, of: str = "") -> list[Any]:
    """A list with something in it; `of` says where in the field, if not all of it."""
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{of}expected a list with at least one entry, got {rows!r:.60}")
    return rows


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"expected a finite number, got {value!r:.60}")
    return number


def _origin(value: Any) -> LatLng:
    place = as_latlng(value)
    if place is None:
        raise ValueError(f"expected [latitude, longitude] in degrees, got {value!r:.60}")
    return place


def _refuse_isolated(nodes: np.ndarray, streets: tuple[Street, ...]) -> None:
    """An agent that stands on such a node has nowhere to go."""
    joined = {end for street in streets for end in (street.u, street.v)}
    for number in range(len(nodes)):
        if number not in joined:
            raise ValueError(
                f"node {number} at {nodes[number].tolist()} is on no street; remove it or join it by one"
            )


def _points(rows: Any) -> np.ndarray:
    points = np.array(rows, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError("expected a list of [x, y] in metres")
    points.setflags(write=False)
    return points


def _streets(rows: Any, nodes: np.ndarray, names: list[str]) -> tuple[Street, ...]:
    streets, together = [], 0.0
    for row in _filled(rows):
        street = _street(row, nodes, names)
        length = math.dist(nodes[street.u], nodes[street.v])
        if length < SHORTEST_M:
            raise ValueError(
                f"street {row} is {length:g} metres long, expected are {SHORTEST_M:g} at least"
            )
        if length > LONGEST_M:
            raise ValueError(
                f"street {row} is {length:g} metres long, and may be {LONGEST_M:g}; nodes are in metres"
            )
        together += length
        if together > ALL_M:
            raise ValueError(f"all streets up to {row} are longer than {ALL_M:g} metres together")
        streets.append(street)
    return tuple(streets)


def _street(row: Any, nodes: np.ndarray, names: list[str]) -> Street:
    u, v, name, width = row
    if not (0 <= u < len(nodes) and 0 <= v < len(nodes)) or u == v:
        raise ValueError(f"street {row} does not join two of the {len(nodes)} nodes")
    if not 4 <= width <= 100:
        raise ValueError(f"street {row} has a width outside 4 to 100 metres")
    return Street(int(u), int(v), names[name], float(width))


def _landmark(row: Any) -> Landmark:
    name, colour, shape, kind, x, y, facing = row
    emblem = Emblem(
        one_of("colour", colour, COLOURS),
        one_of("shape", shape, SHAPES),
        one_of("kind", kind, KINDS),
    )
    return Landmark(_text(name), emblem, _finite(x), _finite(y), _finite(facing))


def _look(data: Any) -> Look:
    def colour(rgb: Any) -> tuple[int, int, int]:
        red, green, blue = (int(part) for part in rgb)
        if not all(0 <= part <= 255 for part in (red, green, blue)):
            raise ValueError(f"{rgb} is not a colour")
        return red, green, blue

    return Look(
        sky=(colour(data["sky"][0]), colour(data["sky"][1])),
        road=colour(data["road"]),
        pavement=colour(data["pavement"]),
        facades=tuple(colour(rgb) for rgb in _filled(data["facades"], "facades: ")),
        heights=_heights(data["heights"]),
    )


def _heights(value: Any) -> tuple[float, float]:
    low, high = map(float, value)  # comparisons with nan are false
    if not 0 <= low <= high <= TALLEST_M:
        raise ValueError(
            f"heights: expected [low, high] in metres from 0 to {TALLEST_M:g}, got {value!r:.60}"
        )
    return low, high
