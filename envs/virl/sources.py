"""Where routes and street views come from: an embedded city, or a folder of published data.

Both answer the same few questions, so the environment does not know which it has.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from envs.contract import Image
from envs.read_once import read_once
from envs.virl.city import City
from envs.virl.city_files import load_city
from envs.virl.geo import VIEW_SIDES, wrap
from envs.virl.published import PublishedData
from envs.virl.route import Place, Route
from envs.virl.sampler import RouteBook
from envs.virl.street_map import StreetMap, street_map
from envs.virl.streetview import StreetViews

SPLITS = ("train", "id", "ood_rule", "ood_city")
DATA_SPLITS = ("all", "train", "id", "ood_rule", "listed", "listed_rule")

WHOLE = ("all", "listed", "listed_rule")
"""Splits of data that hold all its routes."""


class CitySource:
    """Routes sampled on an embedded city, with drawn street views."""

    def __init__(self, city: City, part: str) -> None:
        """`part` is the part of the city's routes that is used: train or eval."""
        self.city = city
        self.street_map = street_map(city)
        self._book = RouteBook(self.street_map, part)
        self._drawn = _street_views(city)

    def __len__(self) -> int:
        return len(self._book)

    def route(self, index: int, rng: np.random.Generator) -> Route:
        return self._book[index]

    def views(self, place: Place, heading: float, height: int, width: int) -> dict[str, Image]:
        xy = self.city.projection.to_xy(place.position)
        return self._drawn.views(xy, heading, height, width)


class DataSource:
    """Published routes and panoramas, read from a folder."""

    city: City | None = None
    street_map: StreetMap | None = None

    def __init__(self, data: PublishedData, split: str) -> None:
        """`train`, `id` and `ood_rule` divide the routes by a stable hash of their names."""
        self._data = data
        self._chosen = [
            index
            for index in range(len(data))
            if split in WHOLE or _is_evaluation(data.route_name(index)) == (split != "train")
        ]
        if not self._chosen:
            raise ValueError(
                f"split={split!r} holds none of the {len(data)} routes of {data.folder}"
            )

    def __len__(self) -> int:
        return len(self._chosen)

    def route(self, index: int, rng: np.random.Generator) -> Route:
        return self._data.route(self._chosen[index], rng)

    def views(self, place: Place, heading: float, height: int, width: int) -> dict[str, Image]:
        panoramas = self._data.panoramas
        assert panoramas is not None
        assert place.panorama is not None
        return {
            side: panoramas.view(place.panorama, wrap(heading + 90 * k), height, width)
            for k, side in enumerate(VIEW_SIDES)
        }


@lru_cache(maxsize=8)
def _street_views(city: City) -> StreetViews:
    """The views of a city, shared by all environments of a process."""
    return StreetViews(city)


Source = CitySource | DataSource


def other_city(name: str) -> str:
    """The city of `ood_city`: another one than `name`, which may be a file of the very same streets."""
    nodes = load_city(name).nodes
    cities = ("newyork", "gridtown")
    return next(city for city in cities if not np.array_equal(load_city(city).nodes, nodes))


def city_source(city: str, split: str) -> CitySource:
    where = other_city(city) if split == "ood_city" else city
    return CitySource(load_city(where), "train" if split == "train" else "eval")


def data_source(folder: str | Path, split: str, *, strict: bool, pictures: bool) -> DataSource:
    """All environments of a process share what they read of a folder: its routes, and its panoramas as far as
    there is room. It is read anew where its files are others than they were; a panorama that is overwritten
    under its old name is not noticed."""
    return DataSource(_published(Path(folder), strict=strict, pictures=pictures), split)


def _read_at_once(folder: Path) -> list[Path]:
    """The files, and the folder of panoramas for its list of them."""
    return [folder / name for name in PublishedData.FILES]


_published = read_once(PublishedData, _read_at_once, most=2)


def _is_evaluation(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] % 10 == 0
