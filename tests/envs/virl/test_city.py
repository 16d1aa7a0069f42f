"""Cities, their standing points, and routes by number."""

import itertools
import json
import math

import networkx as nx
import numpy as np
import pytest

from envs.paths import asset
from envs.virl.city import COLOURS, KINDS, SHAPES
from envs.virl.city_files import CITIES, load_city, save_city
from envs.virl.geo import bearing, bearing_xy, haversine, turn_between, view_side
from envs.virl.sampler import RouteBook
from envs.virl.street_map import SIGHT_M, street_map


@pytest.fixture(params=CITIES, scope="module")
def city(request):
    return load_city(request.param)


def test_cities_are_small_files_with_their_licence():
    for name in CITIES:
        assert asset("cities", f"{name}.json").stat().st_size < 500_000
    for name in ("newyork", "helsinki"):
        assert "OpenStreetMap" in load_city(name).attribution
        assert "ODbL" in load_city(name).attribution


def test_streets_are_one_connected_graph(city):
    graph = nx.Graph((street.u, street.v) for street in city.streets)
    assert len(graph) == len(city.nodes)
    assert nx.is_connected(graph)
    assert graph.number_of_edges() == len(city.streets)
    assert sum(map(city.is_intersection, range(len(city.nodes)))) > 30


def test_real_places_are_where_they_are():
    """A known point of each real city lies within the map."""
    for name, place in (("helsinki", (60.1699, 24.9384)), ("newyork", (40.787, -73.97))):
        city = load_city(name)
        nearest = min(haversine(place, city.projection.to_latlng(tuple(xy))) for xy in city.nodes)
        assert nearest < 250
    assert any("Mannerheimintie" in street.name for street in load_city("helsinki").streets)
    assert any("Columbus Avenue" in street.name for street in load_city("newyork").streets)


def test_signs_hang_on_facades_and_look_at_their_street(city):
    for mark in city.landmarks:
        here = np.array([mark.x, mark.y])
        fits = []
        for street in city.streets:
            u, v = city.nodes[street.u], city.nodes[street.v]
            along = (v - u) / np.linalg.norm(v - u)
            t = float((here - u) @ along)
            foot = u + along * t
            gap = float(np.linalg.norm(here - foot))
            if 0 <= t <= np.linalg.norm(v - u) and abs(gap - street.width / 2) < 0.3:
                towards = bearing_xy((mark.x, mark.y), tuple(foot))
                fits.append(abs(turn_between(towards, mark.facing)) < 3)
        assert any(fits), mark


def test_no_two_signs_cover_each_other(city):
    for a, b in itertools.combinations(city.landmarks, 2):
        if a.facing == b.facing:
            assert math.dist((a.x, a.y), (b.x, b.y)) > 5, (a, b)


def test_invented_names_say_what_the_emblem_shows():
    emblems = {}
    for name in ("gridtown", "newyork"):
        marks = load_city(name).landmarks
        for mark in marks:
            e = mark.emblem
            assert mark.name == f"{e.colour} {e.shape} {e.kind}".title()
        emblems[name] = {mark.emblem for mark in marks}
        assert len(emblems[name]) == len(marks)
        for values, part in ((COLOURS, "colour"), (SHAPES, "shape"), (KINDS, "kind")):
            assert {getattr(emblem, part) for emblem in emblems[name]} == set(values)
    assert not emblems["gridtown"] & emblems["newyork"]


def test_a_city_file_of_ones_own_is_loaded_and_checked(tmp_path):
    path = tmp_path / "mine.json"
    save_city(load_city("gridtown"), path)
    again = load_city(str(path))
    assert again.streets == load_city("gridtown").streets
    assert again.landmarks == load_city("gridtown").landmarks
    data = json.loads(path.read_text())
    for field, value in (
        ("streets", [[0, 10**6, 0, 16]]),
        ("landmarks", [["x", "beige"]]),
        ("look", {}),
    ):
        broken = tmp_path / f"{field}.json"
        broken.write_text(json.dumps(data | {field: value}))
        with pytest.raises(ValueError, match=field) as error:
            load_city(str(broken))
        assert str(broken) in str(error.value)
    with pytest.raises(FileNotFoundError):
        load_city(str(tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("far", "streets", "said"),
    [
        (1e12, [[0, 1, 0, 16]], r"street \[0, 1, 0, 16\] is 2e\+12 metres long, and may be 10000"),
        (1e308, [[0, 1, 0, 16]], r"street \[0, 1, 0, 16\] is inf metres long"),
        (
            4500.0,
            [[0, 1, 0, 16]] * 1112,
            r"all streets up to \[0, 1, 0, 16\] are longer than 1e\+07",
        ),
    ],
)
def test_streets_without_end_are_refused(tmp_path, far, streets, said):
    """Defect: the points of one, every 20 metres, took all memory."""
    path = tmp_path / "mine.json"
    save_city(load_city("gridtown"), path)
    data = json.loads(path.read_text())
    nodes = [[-far, 0.0], [far, 0.0]]
    path.write_text(json.dumps(data | {"nodes": nodes, "streets": streets}))
    with pytest.raises(ValueError, match=said) as error:
        load_city(str(path))
    assert f"{path}: field 'streets'" in str(error.value)


BROKEN = {
    "a node without a street": ({"nodes": [[9, 9]]}, "'nodes' is broken: node 64 .* on no street"),
    "no nodes": ({"nodes": None}, "'nodes' is broken"),
    "no streets": ({"streets": None}, "'streets' is broken: expected a list with at least one"),
    "no landmarks": ({"landmarks": None}, "'landmarks' is broken: expected a list with at least"),
    "no facades": ({"look": {"facades": []}}, "'look' is broken: facades: expected a list"),
    "heights": (
        {"look": {"heights": [math.nan, 9]}},
        "'look' is broken: heights: .*from 0 to 1000",
    ),
    "heights upside down": ({"look": {"heights": [9, 8]}}, "'look' is broken: heights: "),
    "endless heights": ({"look": {"heights": [9, 10**400]}}, "'look' is broken: int too large"),
    "endless colour": ({"look": {"road": [0, 0, math.inf]}}, "'look' is broken: .*infinity"),
    "origin": ({"origin": [math.nan, 4.0]}, "'origin' is broken: expected .latitude, longitude"),
    "landmark": (
        {"landmarks": [["A", "red", "star", "cafe", math.nan, 1, 1]]},
        "'landmarks' is broken: expected a finite number, got nan",
    ),
    "half a name": (
        {"landmarks": [["\ud800", "red", "star", "cafe", 1, 1, 1]]},
        "'landmarks' is broken: 'utf-8' codec",
    ),
    "half a title": ({"title": "\ud800"}, "'title' is broken: 'utf-8' codec"),
    "two nodes at one place": (
        {"nodes": [[273.8, 492.1], [273.8, 492.1]], "streets": [[64, 65, 0, 16]]},
        r"'streets' is broken: street \[64, 65, 0, 16\] is 0 metres long",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_city_nobody_can_walk_in_is_refused(tmp_path, name):
    """Defect: such files were accepted, and raised later without a word of the file or the field."""
    changes, said = BROKEN[name]
    path = tmp_path / "mine.json"
    save_city(load_city("gridtown"), path)
    data = json.loads(path.read_text())
    for field, value in changes.items():  # None empties a list; others are added to what is there
        if isinstance(data[field], dict):
            data[field] |= value
        elif field == "origin":
            data[field] = value
        else:
            data[field] = data[field] + value if value else []
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=said) as error:
        load_city(str(path))
    assert str(error.value).startswith(f"{path}: field ")


def test_points_are_a_step_apart_and_distances_add_up(city):
    places = street_map(city)
    graph = nx.Graph()
    for point in range(len(places.points)):
        for other, heading in places.neighbours(point):
            assert heading == pytest.approx(
                bearing_xy(tuple(places.points[point]), tuple(places.points[other]))
            )
            graph.add_edge(point, other, weight=places.gap(point, other))
            assert places.gap(point, other) < 31
    goal = len(places.points) // 2
    oracle = nx.single_source_dijkstra_path_length(graph, goal)
    ours = places.distances_to(goal)
    assert all(ours[point] == pytest.approx(distance) for point, distance in oracle.items())
    assert places.nearest(places.place(goal).position) == goal


def test_what_is_seen_is_there(city):
    places = street_map(city)
    by_name = {mark.name: mark for mark in city.landmarks}
    seen = 0
    for point in range(0, len(places.points), 3):
        here = tuple(places.points[point])
        place = places.place(point)
        distances = [sighting.distance for sighting in place.sightings]
        assert distances == sorted(distances)
        for sighting in place.sightings:
            mark = by_name[sighting.name]
            assert math.dist(here, (mark.x, mark.y)) == pytest.approx(sighting.distance)
            assert sighting.distance <= SIGHT_M
            assert sighting.bearing == pytest.approx(bearing_xy(here, (mark.x, mark.y)))
            seen += 1
    assert seen > len(places.points) / 8


def positions(route):
    return [route.start, *(place for leg in route.legs for place in (*leg.path, leg.end))]


@pytest.mark.parametrize("part", ["train", "eval"])
def test_routes_can_be_followed(city, part):
    places = street_map(city)
    book = RouteBook(places, part)
    lengths = set()
    for index in range(250):
        route = book[index]
        points = [places.nearest(place.position) for place in positions(route)]
        assert len(set(points)) == len(points) >= 4
        for a, b in itertools.pairwise(points):
            assert b in [other for other, _ in places.neighbours(a)]
        heading = None
        for number, leg in enumerate(route.legs):
            last = number == len(route.legs) - 1
            line = [
                *([route.start] if number == 0 else [route.legs[number - 1].end]),
                *leg.path,
                leg.end,
            ]
            walked = [bearing(a.position, b.position) for a, b in itertools.pairwise(line)]
            assert abs(turn_between(leg.turn_to, walked[0])) < 0.5
            if heading is not None:
                assert 29 <= abs(turn_between(heading, walked[0])) <= 151
            assert all(abs(turn_between(a, b)) < 30.5 for a, b in itertools.pairwise(walked))
            heading = walked[-1]
            assert leg.landmark in leg.end.sightings
            assert last or leg.end.at_intersection
            said = (leg.landmark.name, view_side(heading, leg.landmark.bearing))
            for place, towards in zip(leg.path, walked, strict=False):
                if last or place.at_intersection:  # else the description would fit earlier
                    fits = {(s.name, view_side(towards, s.bearing)) for s in place.sightings}
                    assert said not in fits
        lengths.add(len(route.legs))
    assert lengths == {1, 2, 3}


def test_routes_are_the_same_by_number_and_parts_do_not_share_any(city):
    places = street_map(city)
    train, held_out = RouteBook(places, "train"), RouteBook(places, "eval")
    assert train[17] == RouteBook(places, "train")[17]

    def key(route):
        return tuple(place.position for place in positions(route))

    keys = [{key(book[index]) for index in range(600)} for book in (train, held_out)]
    assert not keys[0] & keys[1]
    assert min(map(len, keys)) > 400
    with pytest.raises(IndexError):
        train[len(train)]
