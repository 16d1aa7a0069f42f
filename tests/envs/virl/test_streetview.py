"""Street views show what the map says, where it says."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from envs.bounded_cache import BoundedCache
from envs.virl.city import COLOURS, City, Emblem, Landmark, Look, Street
from envs.virl.city_files import CITIES, load_city
from envs.virl.geo import VIEW_SIDES, bearing_xy, view_side
from envs.virl.streetview import HORIZON, StreetViews

LOOK = Look(
    sky=((100, 150, 220), (220, 235, 245)),
    road=(90, 90, 95),
    pavement=(170, 170, 165),
    facades=((150, 150, 150), (160, 160, 160)),
    heights=(9.0, 12.0),
)


def crossing(*landmarks):
    """Two grey streets that cross at the origin, 200 m long each."""
    return City(
        name="crossing",
        title="",
        origin=(0.0, 0.0),
        attribution="",
        look=LOOK,
        nodes=np.array([[0, 0], [0, 100], [100, 0], [0, -100], [-100, 0]], float),
        streets=tuple(Street(0, k, f"street {k}", 16.0) for k in range(1, 5)),
        landmarks=landmarks,
    )


def sign(x, y, colour="red"):
    return Landmark("Red Square Bank", Emblem(colour, "square", "bank"), x, y, 270.0)


def emblem_columns(view, colour="red"):
    """The columns of the pixels that have exactly the emblem's colour."""
    return np.flatnonzero(
        (np.abs(view.astype(int) - COLOURS[colour]) < 12).all(axis=-1).any(axis=0)
    )


@pytest.mark.parametrize("heading", range(0, 360, 23))
@pytest.mark.parametrize("ahead", [-14, -6, 0, 5, 18])
def test_a_sign_hangs_at_its_true_bearing_in_the_right_view(heading, ahead):
    here = (0.0, 40.0)
    mark = sign(8.0, 40.0 + ahead)
    views = StreetViews(crossing(mark)).views(here, heading, 201, 201)
    towards = bearing_xy(here, (mark.x, mark.y))
    side = view_side(heading, towards)
    turn = (towards - heading - 90 * VIEW_SIDES.index(side) + 180) % 360 - 180
    columns = emblem_columns(views[side])
    expected = 100.5 + 100.5 * math.tan(math.radians(turn))
    reach = 0.5 * 100.5 * 4.6 / math.dist(here, (mark.x, mark.y))
    if reach < expected < 200 - reach:  # all of it within this view
        assert (columns.min() + columns.max() + 1) / 2 == pytest.approx(expected, abs=2)
        assert not any(len(emblem_columns(views[s])) for s in VIEW_SIDES if s != side)
    else:
        assert len(columns)


def test_signs_shrink_with_distance():
    views = StreetViews(crossing(sign(8.0, 90.0)))
    widths = [np.ptp(emblem_columns(views.view((0.0, y), 0.0, 201, 201))) for y in (80, 70, 60, 50)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 2 * widths[-1] > 0


def test_an_emblem_is_large_enough_for_a_tiny_model():
    view = StreetViews(crossing(sign(8.0, 46.0))).views((0.0, 40.0), 90.0, 56, 56)["front"]
    assert np.ptp(emblem_columns(view)) >= 7
    assert len(emblem_columns(view))


def test_no_sign_is_seen_through_a_house():
    """The sign hangs in the cross street; from far down the other street a block stands between."""
    views = StreetViews(crossing(sign(40.0, 8.0)))
    hidden = views.views((0.0, 35.0), 0.0, 201, 201)
    assert not any(len(emblem_columns(view)) for view in hidden.values())
    seen = views.views((2.0, 0.0), 0.0, 201, 201)
    assert len(emblem_columns(seen["right"]))


def sky_at(view, column):
    """How many pixels of a column are sky: bluer than anything built is."""
    pixels = view[: round(view.shape[0] * HORIZON), column].astype(int)
    return int((pixels[:, 2] - pixels[:, 0] > 15).sum())


def test_crossing_streets_can_be_seen():
    views = StreetViews(crossing())
    at_crossing = views.views((0.0, 0.0), 0.0, 200, 200)
    for side in VIEW_SIDES:  # a street leads away in the middle of every view
        assert sky_at(at_crossing[side], 100) > 60
    between = views.views((0.0, 50.0), 0.0, 200, 200)
    assert sky_at(between["front"], 100) > 60
    assert sky_at(between["right"], 100) < 10


def test_the_four_views_join_without_a_seam():
    """The right edge of a view continues at the left edge of the next one clockwise."""
    views = StreetViews(load_city("gridtown")).views((30.0, 70.0), 20.0, 200, 200)
    for side, following in zip(VIEW_SIDES, (*VIEW_SIDES[1:], VIEW_SIDES[0]), strict=True):
        here, there = views[side][:, -1].astype(int), views[following][:, 0].astype(int)
        assert (np.abs(here - there).max(axis=1) > 40).mean() < 0.12


@pytest.mark.parametrize("name", CITIES)
def test_every_place_can_be_drawn_and_always_the_same(name):
    city = load_city(name)
    first, second = StreetViews(city), StreetViews(city)
    rng = np.random.default_rng(0)
    places = [tuple(map(float, node)) for node in city.nodes[::7]]
    places += [tuple(xy) for xy in rng.uniform(-300, 800, (12, 2)).tolist()]  # off the street, too
    for xy in places:
        heading = float(rng.uniform(0, 360))
        a, b = (views.views(xy, heading, 40, 56) for views in (first, second))
        for side in VIEW_SIDES:
            assert a[side].shape == (40, 56, 3)
            assert np.array_equal(a[side], b[side])
            assert not a[side].flags.writeable


def test_cities_look_different():
    colours = []
    for name in CITIES:
        city = load_city(name)
        views = StreetViews(city).views(tuple(map(float, city.nodes[5])), 0.0, 64, 64)
        colours.append(np.mean([view.mean(axis=(0, 1)) for view in views.values()], axis=0))
    for k in range(3):
        assert np.abs(colours[k] - colours[k - 1]).max() > 12


def test_a_sign_before_ones_nose_is_no_larger_than_the_picture_can_bear():
    views = StreetViews(crossing(sign(8.0, 40.0))).views((7.99, 40.0), 90.0, 64, 64)
    assert views["front"].shape == (64, 64, 3)


def test_threads_may_share_the_views_of_a_city():
    views = StreetViews(load_city("gridtown"))
    views._painted = BoundedCache(10 * 12 * 32 * 32)  # so small that all threads evict all the time
    places = [tuple(map(float, xy)) for xy in views._city.nodes[:24]]
    expected = [StreetViews(views._city).views(xy, 0.0, 32, 32)["front"] for xy in places]

    def look(k):
        return np.array_equal(views.views(places[k % 24], 0.0, 32, 32)["front"], expected[k % 24])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(look, range(480)))
    assert views._painted.bytes <= 10 * 12 * 32 * 32
