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

CITIES = ("gridtown", "newyork", "helsinki")
FORMAT = 1
LARGEST_BYTES = 50_000_000
LONGEST_M, ALL_M = 10_000.0, 10_000_000.0
"""A street, and all of them. On each an agent can stand every 20 metres, which takes memory."""
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
        except (TypeError, ValueError, IndexError) as error:
            raise ValueError(f"{path}: field {name!r} is broken: {error}") from None

    nodes = field("nodes", _points)
    names = field("street_names", lambda rows: [str(row) for row in rows])
    return City(
        name=field("name", str),
        title=field("title", str),
        attribution=field("attribution", str),
        origin=field("origin", lambda pair: (float(pair[0]), float(pair[1]))),
        look=field("look", _look),
        nodes=nodes,
        streets=field("streets", lambda rows: _streets(rows, nodes, names)),
        landmarks=field("landmarks", lambda rows: tuple(_landmark(row) for row in rows)),
    )


def _points(rows: Any) -> np.ndarray:
    points = np.array(rows, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError("expected a list of [x, y] in metres")
    points.setflags(write=False)
    return points


def _streets(rows: Any, nodes: np.ndarray, names: list[str]) -> tuple[Street, ...]:
    streets, together = [], 0.0
    for row in rows:
        street = _street(row, nodes, names)
        length = math.dist(nodes[street.u], nodes[street.v])
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
    return Landmark(str(name), emblem, float(x), float(y), float(facing))


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
        facades=tuple(colour(rgb) for rgb in data["facades"]),
        heights=(float(data["heights"][0]), float(data["heights"][1])),
    )
