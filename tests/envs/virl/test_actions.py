"""Directions and actions, as models write them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.virl.actions import (
    DRAWN,
    NO_TURN_BELOW,
    Action,
    directions,
    find_action,
    new_heading,
    read_action,
    read_brief_action,
    right_directions,
    turn_words,
)
from envs.virl.answer import read
from envs.virl.geo import bearing, compass_name, haversine, turn_between, view_side, wrap

STYLES = st.sampled_from(sorted({style for drawn in DRAWN.values() for style in drawn}))


@pytest.mark.parametrize(
    ("text", "style", "action"),
    [
        ("forward()", "absolute", Action("forward")),
        ("forward() ", "absolute", Action("forward")),  # published defect 18: a space was wrong
        ("Forward", "absolute", Action("forward")),
        ("stop( )", "relative", Action("stop")),
        ("turn_direction(north)", "absolute", Action("turn_direction", "north")),
        ("turn_direction('north')", "absolute", Action("turn_direction", "north")),
        ('turn_direction("North-West")', "absolute", Action("turn_direction", "northwest")),
        ("turn_direction( slightly left )", "relative", Action("turn_direction", "slightly left")),
        ("turn_direction(slightly_left)", "relative", Action("turn_direction", "slightly left")),
        ("turn_direction(left)", "absolute", None),
        ("turn_direction(north)", "relative", None),
        ("turn_direction()", "absolute", None),
        ("forward(north)", "absolute", None),
        ("fly()", "absolute", None),
        ("", "absolute", None),
        ("forward()" * 100, "absolute", None),
    ],
)
def test_actions_are_read_as_models_write_them(text, style, action):
    assert read_action(text, style) == action


@given(st.one_of(st.text(), st.none(), st.integers(), st.lists(st.text())))
def test_anything_is_read_or_refused(text):
    assert read_action(text, "absolute") is None or isinstance(text, str)


@pytest.mark.parametrize(
    ("observed", "claims"),
    [
        ("I don't see an intersection", False),
        ("There isn’t any intersection here.", False),
        ("This is not an intersection", False),
        ("I am at an intersection", True),
        ("A distant intersection", True),
    ],
)
def test_an_intersection_that_is_denied_is_not_claimed(observed, claims):
    """Defect: `\\bn't` is nowhere in "isn't", so "I don't see an intersection" counted as claiming one."""
    said = json.dumps({"current observation": observed, "action": "forward()"})
    assert read(said, "absolute").says_intersection is claims


def test_the_last_call_in_a_text_counts():
    text = "I could forward() but the sign says otherwise, so turn_direction(east)."
    assert find_action(text, "absolute") == Action("turn_direction", "east")
    assert find_action("moving forward is best, then stop", "absolute") is None


def test_a_turn_across_north_wraps():
    """Published defect 3: 350 to 10 was 'left'."""
    assert turn_words(350, 10) == "slightly right"
    assert turn_words(10, 350) == "slightly left"
    assert turn_words(350, 80) == "right"


def test_turning_back_may_be_said_either_way():
    assert right_directions(0, 180, "relative") == ("right", "left")
    assert right_directions(0, 180, "absolute") == ("south",)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_turns_lead_where_they_should(heading, target):
    turn = turn_between(heading, target)
    assert -180 < turn <= 180
    error = wrap(heading + turn - target)
    assert min(error, 360 - error) < 1e-3
    assert 0 <= wrap(heading) < 360


@given(st.floats(0, 360), st.floats(0, 360), STYLES)
def test_what_is_said_of_a_turn_leads_nearer_to_where_it_goes(heading, target, style):
    """By compass and clock it is the nearest there is; left and right are rough, and either leads back."""
    if abs(turn_between(heading, target)) < NO_TURN_BELOW:
        return
    said = right_directions(heading, target, style)
    assert set(said) <= set(directions(style))

    def off(name):
        return abs(turn_between(new_heading(heading, name, style), target))

    most = {"clock": 15.0, "relative": 105.0, "ship": 105.0}.get(style, 22.5)
    assert max(map(off, said)) <= most + 1e-6


@given(STYLES, STYLES)
def test_a_direction_of_another_style_is_no_action(style, other):
    for name in directions(other):
        known = Action("turn_direction", name) if name in directions(style) else None
        assert read_action(f"turn_direction({name})", style) == known
        assert read_brief_action(f"turn {name}", style) == known


@given(st.floats(0, 360))
def test_an_absolute_turn_lands_within_its_sector(heading):
    assert (
        abs(turn_between(heading, new_heading(heading, compass_name(heading), "absolute")))
        <= 22.5 + 1e-9
    )


def test_views_and_names_agree_on_the_sides():
    assert [view_side(90, b) for b in (90, 180, 270, 0)] == ["front", "right", "back", "left"]
    assert [compass_name(h) for h in (0, 359, 44, 90, 225)] == [
        "north",
        "north",
        "northeast",
        "east",
        "southwest",
    ]


def test_distances_and_bearings_on_the_sphere():
    paris, london = (48.8566, 2.3522), (51.5074, -0.1278)
    assert haversine(paris, london) == pytest.approx(343_556, rel=1e-3)
    assert bearing((0, 0), (0, 1)) == pytest.approx(90)
    assert bearing((0, 0), (1, 0)) == pytest.approx(0)
