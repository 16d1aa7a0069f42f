"""Writes a tiny data folder in the published formats, with panoramas whose pixels tell the bearing."""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from envs.virl.geo import Projection

MAP = Projection((40.73, -73.99))
CORNERS = ((0.0, 0.0), (0.0, 60.0), (80.0, 60.0), (80.0, 110.0))
"""North 60 m, east 80 m, north 50 m."""


def panorama(rotation: float, size: tuple[int, int] = (512, 256)) -> Image.Image:
    """Red and green hold the bearing of each column in sixteenths of a degree; blue the row."""
    width, height = size
    columns = (np.arange(width) + 0.5) / width * 360.0
    bearing = np.round(((columns - rotation) % 360.0) * 16).astype(int) % 5760
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = bearing // 256, bearing % 256
    pixels[..., 2] = (np.arange(height)[:, None] * 255) // (height - 1)
    return Image.fromarray(pixels)


def street_places(
    corners: Sequence[tuple[float, float]] = CORNERS,
) -> dict[tuple[float, float], str]:
    """A panorama every 5 m or so along the walk."""
    places: dict[tuple[float, float], str] = {}
    for (x0, y0), (x1, y1) in itertools.pairwise(corners):
        steps = round(max(abs(x1 - x0), abs(y1 - y0)) / 5)
        for k in range(steps + 1):
            xy = (x0 + (x1 - x0) * k / steps, y0 + (y1 - y0) * k / steps)
            places.setdefault(MAP.to_latlng(xy), f"pano_{len(places):03d}")
    return places


MILESTONES = """
{ "intersection_idx": "1", "landmarks": "Joe's {Fine} Pizza is on your left", "distance": "60 meters",
  "human_heading": "0", "to_next_intersection_heading": "0 (north)", }
{ "intersection_idx": "2", "landmarks": "No landmarks nearby", "distance": "80 meters",
  "human_heading": "0", "to_next_intersection_heading": "90 (east)", }
{ "intersection_idx": "3", "landmarks": "The destination The Dutch is on your right front",
  "distance": "50 meters", "human_heading": "90", "to_next_intersection_heading": "0 (north)", }
"""
WITHOUT_START = MILESTONES.replace('"human_heading": "0"', '"human_heading": ""')


def route(**changes) -> dict:
    start, *stops = (list(MAP.to_latlng(corner)) for corner in CORNERS)
    raw = {
        "route_id": "walk",
        "start_place": {"relocated_geocode": start},
        "init_heading": 0,
        "dest_place": {"name": "The Dutch"},
        "route_results": {"geocode_list": stops, "landmark_list": ["Joe's {Fine} Pizza", None]},
        "milestone_info": MILESTONES,
    }
    return raw | changes


def write_folder(
    folder: Path,
    routes: object = None,
    rotation: float = 30.0,
    corners: Sequence[tuple[float, float]] = CORNERS,
) -> Path:
    views = folder / "street_views"
    views.mkdir(parents=True)
    places = street_places(corners)
    (folder / "gps_pano_mapping.pkl").write_bytes(pickle.dumps(places))
    if routes is None:
        again = route(route_id="again", init_heading=None, milestone_info=WITHOUT_START)
        routes = [[route(), again], 1]
    (folder / "route_infos.json").write_text(json.dumps(routes))
    picture = panorama(rotation)
    for name in places.values():
        picture.save(views / f"{name}.jpg", format="PNG")  # lossless, so that bearings survive
        (views / f"{name}.metadata.json").write_text(json.dumps({"rotation": rotation}))
    return folder
