"""Finds the panorama nearest to a place: a spatial index over the published mapping.

Places become points on the unit sphere, where nearest is the same as on the globe, also across the
date line and at the poles; the distance of what is found is checked by the exact haversine formula.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from envs.safe_pickle import load_plain_pickle
from envs.virl.geo import EARTH_RADIUS_M, LatLng, as_latlng, haversine
from envs.virl.published.errors import DataError

_LOOKED_AT = 8  # panoramas that are considered where one is not wanted


class PanoramaIndex:
    """Panoramas by place."""

    def __init__(self, mapping: Mapping[LatLng, str]) -> None:
        self._places = list(mapping)
        self._names = list(mapping.values())
        latitudes, longitudes = np.radians(np.array(self._places, float).reshape(-1, 2)).T
        flat = np.cos(latitudes)
        points = [flat * np.cos(longitudes), flat * np.sin(longitudes), np.sin(latitudes)]
        self._tree = cKDTree(np.stack(points, axis=1))

    def __len__(self) -> int:
        return len(self._places)

    def nearest(
        self, place: LatLng, within: float, other_than: str | None = None
    ) -> tuple[LatLng, str] | None:
        """The (place, panorama) nearest to a place, None if none is `within` metres."""
        latitude, longitude = math.radians(place[0]), math.radians(place[1])
        flat = math.cos(latitude)
        point = (flat * math.cos(longitude), flat * math.sin(longitude), math.sin(latitude))
        reach = 1.001 * within / EARTH_RADIUS_M + 1e-12  # a chord is shorter than its arc
        if other_than is None:
            indices = [self._tree.query(point, distance_upper_bound=reach)[1]]
        else:
            indices = self._tree.query(point, k=_LOOKED_AT, distance_upper_bound=reach)[1].tolist()
        for index in indices:
            if index == len(self._places) or haversine(place, self._places[index]) > within:
                return None
            if self._names[index] != other_than:
                return self._places[index], self._names[index]
        return None


def read_mapping(path: Path) -> dict[LatLng, str]:
    """The published pickle, checked entry by entry."""
    mapping = load_plain_pickle(path)
    if not isinstance(mapping, dict) or not mapping:
        raise DataError(
            f"{path}: expected a dict of (latitude, longitude) to panorama, got {type(mapping).__name__}"
        )
    return {_place(path, key): _name(path, value) for key, value in mapping.items()}


def _place(path: Path, key: Any) -> LatLng:
    place = as_latlng(key)
    if place is None:
        raise DataError(f"{path}: key {_cut(key)} is not a pair (latitude, longitude)")
    return place


def _name(path: Path, value: Any) -> str:
    if isinstance(value, str) and value and not set(value) & set("/\\\0"):
        return value
    raise DataError(f"{path}: value {_cut(value)} is not the id of a panorama")


def _cut(value: Any) -> str:
    """The beginning of its repr. Of lists within lists, each several times, a whole one has no end."""
    try:
        return reprlib.repr(value)[:80]
    except ValueError:  # a number of too many digits to be written
        return f"of type {type(value).__name__}"
