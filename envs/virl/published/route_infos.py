"""Reads `route_infos.json`: `[[route, ...], resume index]`, a list of routes, or one route.

Only the fields that a walk needs are read; each is checked and named if it is wrong. What may be
missing in published files (headings, landmarks) is None and filled in from the geometry later.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.virl.geo import LatLng, as_latlng, wrap
from envs.virl.published.errors import DataError
from envs.virl.published.milestones import Landmark, Milestone, read_milestones

LARGEST_BYTES = 512 * 2**20


@dataclass(frozen=True)
class RouteInfo:
    """A published route. `stops` are the intersections, then the destination; `landmarks` and
    `headings` have one entry a stop: what is seen there, and how to walk towards it."""

    name: str
    start: LatLng
    start_heading: float | None
    destination: str | None
    stops: tuple[LatLng, ...]
    landmarks: tuple[Landmark | None, ...]
    headings: tuple[float | None, ...]


def read_route_file(path: Path) -> list[Any]:
    """The raw routes of a file, whichever of the published forms it has."""
    if path.stat().st_size > LARGEST_BYTES:
        raise DataError(f"{path} is larger than {LARGEST_BYTES} bytes")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: broken JSON ({error})") from None
    if isinstance(data, dict):
        return [data]
    if (
        isinstance(data, list)
        and len(data) == 2
        and isinstance(data[0], list)
        and isinstance(data[1], int)
    ):
        data = data[0]
    if not isinstance(data, list) or not data:
        raise DataError(
            f"{path}: expected a list of routes, got {type(data).__name__} {str(data)[:60]!r}"
        )
    return data


def read_route(raw: Any, where: str) -> RouteInfo:
    """One route; `where` names the file and the route in errors."""
    if not isinstance(raw, dict):
        raise DataError(f"{where}: expected an object, got {type(raw).__name__}")
    results = _object(raw, "route_results", where)
    stops = results.get("geocode_list")
    if not isinstance(stops, list) or not stops:
        raise DataError(
            f"{where}: field 'route_results.geocode_list' must list the intersections and the destination"
        )
    places = tuple(
        _place(stop, where, f"route_results.geocode_list[{i}]") for i, stop in enumerate(stops)
    )
    names = results.get("landmark_list") or []
    if not isinstance(names, list) or len(names) not in (0, len(places) - 1, len(places)):
        found = f"{len(names)} entries" if isinstance(names, list) else repr(names)[:60]
        raise DataError(
            f"{where}: field 'route_results.landmark_list' has {found}, expected one for each of "
            f"the {len(places) - 1} intersections"
        )
    milestones = _milestones(raw, len(places), where)
    destination = _title(raw.get("dest_place"))
    heading = _heading(raw.get("init_heading"), where)
    if heading is None and 1 in milestones and milestones[1].heading_before is not None:
        heading = wrap(milestones[1].heading_before)
    return RouteInfo(
        name=str(
            raw.get("route_id")
            or raw.get("id")
            or json.dumps([raw.get("start_place"), stops])[:2000]
        ),
        start=_place(
            _object(raw, "start_place", where).get("relocated_geocode"),
            where,
            "start_place.relocated_geocode",
        ),
        start_heading=heading,
        destination=destination,
        stops=places,
        landmarks=tuple(
            _landmark(
                milestones.get(i + 1),
                names[i] if i < len(names) else None,
                destination if i == len(places) - 1 else None,
            )
            for i in range(len(places))
        ),
        headings=tuple(
            milestones[i].heading_to if i in milestones else None for i in range(1, len(places) + 1)
        ),
    )


def _object(raw: dict[str, Any], field: str, where: str) -> dict[str, Any]:
    value = raw.get(field)
    if not isinstance(value, dict):
        raise DataError(f"{where}: field {field!r} is missing or not an object")
    return value


def _place(value: Any, where: str, field: str) -> LatLng:
    if isinstance(value, dict):
        value = [value.get("lat"), value.get("lng", value.get("lon"))]
    place = as_latlng(value)
    if place is None:
        raise DataError(
            f"{where}: field {field!r} must be [latitude, longitude], got {value!r:.60}"
        )
    return place


def _heading(value: Any, where: str) -> float | None:
    """0 is north; only null and a missing field mean that there is no heading."""
    if value is None:
        return None
    try:
        heading = float(value)
    except (TypeError, ValueError, OverflowError):
        heading = math.nan
    if isinstance(value, bool) or not math.isfinite(heading):
        raise DataError(
            f"{where}: field 'init_heading' must be a number of degrees, got {value!r:.60}"
        )
    return wrap(heading)


def _milestones(raw: dict[str, Any], stops: int, where: str) -> dict[int, Milestone]:
    """The milestones by stop: 1 is the first."""
    text = raw.get("milestone_info")
    if text is None:
        return {}
    if not isinstance(text, str):
        raise DataError(
            f"{where}: field 'milestone_info' must be a text, got {type(text).__name__}"
        )
    try:
        blocks = read_milestones(text)
    except DataError as error:
        raise DataError(f"{where}: field 'milestone_info': {error}") from None
    if len(blocks) > stops + 1:
        raise DataError(
            f"{where}: field 'milestone_info' has {len(blocks)} blocks for {stops} stops"
        )
    return {
        block.index if block.index is not None else position: block
        for position, block in enumerate(blocks, 1)
    }


def _landmark(milestone: Milestone | None, listed: Any, destination: str | None) -> Landmark | None:
    """What is seen at a stop: as its milestone says, or as listed, or the destination itself."""
    if milestone is not None and milestone.landmark is not None:
        return milestone.landmark
    name = _title(listed) or destination
    return Landmark(name, "is nearby") if name else None


def _title(value: Any) -> str | None:
    if isinstance(value, dict):
        value = next((value[key] for key in ("name", "title", "address") if value.get(key)), None)
    return value.strip()[:200] or None if isinstance(value, str) else None
