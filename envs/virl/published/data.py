"""A folder of published data as routes: the rail between panoramas, and the panoramas themselves."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from envs.virl.geo import LatLng, bearing, haversine, turn_between, wrap
from envs.virl.published.errors import DataError
from envs.virl.published.milestones import Landmark
from envs.virl.published.panoramas import Panoramas
from envs.virl.published.relocation import PanoramaIndex, read_mapping
from envs.virl.published.route_infos import RouteInfo, read_route, read_route_file
from envs.virl.route import Leg, Place, Route, Sighting

RELOCATED_WITHIN_M = 20.0
SHORTEST_FILLED_LEG_M = 5.0
OFF_THE_ENDS_M = 8.0
DOUBTFUL_DEGREES = 45.0
"""By how much the heading of a leg may differ from where its places lie before that is said."""


class PublishedData:
    """`route(index, rng)` lays a route's rail; `panoramas` has the pictures, None without them."""

    FILES = ("route_infos.json", "gps_pano_mapping.pkl", "street_views")

    def __init__(
        self,
        folder: str | Path,
        *,
        strict: bool = True,
        pictures: bool = True,
        line_points: int = 5,
        drop_rate: float = 0.5,
        cache_bytes: int = 512 * 2**20,
    ) -> None:
        """Between two stops `line_points` places are tried, each left out with `drop_rate`."""
        self.folder = Path(folder)
        self._line_points, self._drop_rate = line_points, drop_rate
        needed = self.FILES if pictures else self.FILES[:2]
        missing = [name for name in needed if not (self.folder / name).exists()]
        if missing:
            found = (
                sorted(path.name for path in self.folder.iterdir())
                if self.folder.is_dir()
                else "no folder"
            )
            raise DataError(
                f"data={str(folder)!r} lacks {', '.join(missing)}; found {found!s:.300}"
            )
        mapping = read_mapping(self.folder / "gps_pano_mapping.pkl")
        self.panoramas = Panoramas(self.folder / "street_views", cache_bytes) if pictures else None
        self._index = PanoramaIndex(mapping)
        self._routes: list[RouteInfo] = []
        self.skipped: dict[int, str] = {}
        """The routes that strict=False left out, by their number in the file, with the reason."""
        path = self.folder / "route_infos.json"
        for number, raw in enumerate(read_route_file(path)):
            try:
                self._routes.append(self._checked(read_route(raw, f"{path}: route {number}")))
            except DataError as error:
                if strict:
                    raise
                self.skipped[number] = str(error)
        self._report(path)
        self._report_doubtful_headings(path)

    def __len__(self) -> int:
        return len(self._routes)

    def route_name(self, index: int) -> str:
        """A name that stays the same whatever else the file holds."""
        return self._routes[index].name

    def route(self, index: int, rng: np.random.Generator) -> Route:
        """The rail of a route; `rng` decides which places on the way are left out."""
        info = self._routes[index]
        start, *stands = self._stands(info)
        legs, here = [], start
        for i, end_at in enumerate(stands):
            given = info.headings[i]
            heading = wrap(given if given is not None else bearing(here.position, end_at.position))
            landmark, seen = _sighting(info.landmarks[i], heading)
            last = i == len(info.stops) - 1
            end = Place(end_at.position, not last, (seen,) if seen else (), end_at.panorama)
            legs.append(
                Leg(
                    turn_to=heading,
                    path=self._path(here, end, rng),
                    end=end,
                    landmark=landmark,
                    length=haversine(here.position, end.position),
                )
            )
            here = end
        facing = info.start_heading
        if facing is None:  # a defined choice: any of the four sides of the first street
            facing = wrap(legs[0].turn_to + 90.0 * int(rng.integers(4)))
        return Route(info.name, start, facing, tuple(legs))

    def _path(self, here: Place, end: Place, rng: np.random.Generator) -> tuple[Place, ...]:
        """The panoramas between two stops: some of the points of the straight line, relocated."""
        whole = haversine(here.position, end.position)
        if whole <= SHORTEST_FILLED_LEG_M:
            return ()
        path, last, gone = [], here, 0.0
        for k in range(1, self._line_points + 1):
            share = k / (self._line_points + 1)
            if rng.random() < self._drop_rate:
                continue
            place = self._on_the_way(here, end, share)
            if place is None or place.panorama == last.panorama:
                continue
            from_here = haversine(here.position, place.position)
            if gone < from_here < whole:  # never back
                last, gone = place, from_here
                path.append(place)
        return tuple(path)

    def _on_the_way(self, here: Place, end: Place, share: float) -> Place | None:
        """The panorama at a point of the straight line between two stops, if there is one off its ends."""
        point = _between(here.position, end.position, share)
        found = self._index.nearest(point, RELOCATED_WITHIN_M)
        if found is None:
            return None
        ends = (haversine(stop.position, found[0]) for stop in (here, end))
        return Place(found[0], panorama=found[1]) if min(ends) > OFF_THE_ENDS_M else None

    def _stands(self, info: RouteInfo) -> list[Place]:
        """Where the start and the stops of a route are, of which no draw decides anything."""
        stands = [self._stand(info.start)]
        for stop in info.stops:
            stands.append(self._stand(stop, after=stands[-1]))
        return stands

    def _stand(self, place: LatLng, after: Place | None = None) -> Place:
        """The panorama of a place; not the same one twice in a row if there is another in reach."""
        nearest = self._index.nearest(place, RELOCATED_WITHIN_M)
        assert nearest is not None  # checked when the data was read
        if after is not None and nearest[1] == after.panorama:
            nearest = self._index.nearest(place, RELOCATED_WITHIN_M, nearest[1]) or nearest
        return Place(nearest[0], panorama=nearest[1])

    def _checked(self, info: RouteInfo) -> RouteInfo:
        """The route, if every stop has a panorama near it and every picture it may show is there."""
        places = {"start_place.relocated_geocode": info.start}
        places |= {f"route_results.geocode_list[{i}]": stop for i, stop in enumerate(info.stops)}
        for field, place in places.items():
            found = self._index.nearest(place, RELOCATED_WITHIN_M)
            if found is None:
                nearest = self._index.nearest(place, 1e8)
                away = haversine(place, nearest[0]) if nearest else float("inf")
                raise DataError(
                    f"{self.folder / 'route_infos.json'}: route {info.name:.60}, field {field!r}: "
                    f"the nearest panorama is {away:.0f} m away, allowed are {RELOCATED_WITHIN_M:.0f} m"
                )
        if self.panoramas is not None:
            for panorama in self._may_show(info):
                if problem := self.panoramas.problem(panorama):
                    raise DataError(f"route {info.name:.60}: {problem}")
        return info

    def _may_show(self, info: RouteInfo) -> set[str]:
        """All panoramas that any rail of the route can stop at, found as the rail finds them."""
        stands = self._stands(info)
        shares = [k / (self._line_points + 1) for k in range(1, self._line_points + 1)]
        ways = itertools.product(itertools.pairwise(stands), shares)
        between = [self._on_the_way(here, end, share) for (here, end), share in ways]
        places = [*stands, *(place for place in between if place is not None)]
        return {place.panorama for place in places if place.panorama is not None}

    def _report(self, path: Path) -> None:
        if not self._routes:
            reasons = "; ".join(list(self.skipped.values())[:3])
            raise DataError(f"{path}: no usable route; {len(self.skipped)} skipped: {reasons}")
        if self.skipped:
            total = len(self.skipped) + len(self._routes)
            first = next(iter(self.skipped.values()))
            warnings.warn(
                f"{path}: skipped {len(self.skipped)} of {total} routes; the first: {first}",
                stacklevel=3,
            )

    def _report_doubtful_headings(self, path: Path) -> None:
        """Says it once where headings lead elsewhere than to their stops: such data is mislabelled."""
        legs = [leg for info in self._routes for leg in _doubtful_legs(info)]
        if legs:
            total = sum(len(info.stops) for info in self._routes)
            warnings.warn(
                f"{path}: the headings of {len(legs)} of {total} legs differ by more than "
                f"{DOUBTFUL_DEGREES:.0f} degrees from where their stops lie; they are followed as they "
                f"are. The first: {legs[0]}",
                stacklevel=3,
            )


def _doubtful_legs(info: RouteInfo) -> Iterator[str]:
    ways = zip((info.start, *info.stops), info.stops, info.headings, strict=False)
    for number, (a, b, given) in enumerate(ways, 1):
        lies = bearing(a, b)
        if given is not None and abs(turn_between(lies, given)) > DOUBTFUL_DEGREES:
            yield (
                f"route {info.name:.60}, leg {number}: to_next_intersection_heading is {given:.0f}, "
                f"the stop lies at {lies:.0f}"
            )


def _between(a: LatLng, b: LatLng, share: float) -> LatLng:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _sighting(landmark: Landmark | None, heading: float) -> tuple[Sighting | None, Sighting | None]:
    """A landmark as the instruction names it, in the data's own words, and as it is seen from any
    heading: on its side where that is known, else just nearby."""
    if landmark is None:
        return None, None
    towards = wrap(heading + (landmark.turn or 0.0))
    told = Sighting(landmark.name, towards, said=landmark.said)
    if landmark.turn is None:
        return told, Sighting(landmark.name, towards, said="is nearby")
    return told, Sighting(landmark.name, towards)
