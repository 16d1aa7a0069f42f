"""The rail: positions, instructions, the reward table, and the published defects it is free of."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.contract import EndedBy
from envs.virl.answer import read
from envs.virl.geo import Projection
from envs.virl.language import SIDES, Wording, observation_words, sighting_words
from envs.virl.rail import REWARDS, RailJourney, lay_rail
from envs.virl.route import Leg, Place, Route, Sighting

MAP = Projection((40.0, -73.0))


def place(x, y, *, at=False, sightings=()):
    return Place(MAP.to_latlng((x, y)), at_intersection=at, sightings=tuple(sightings))


CAFE = Sighting("Joe's {Blue} Cafe", bearing=0.0, distance=9.0)  # published defect 16
BANK = Sighting("Red Star Bank", bearing=180.0, distance=8.0)


def l_shaped_route(start_heading=0.0):
    """North 60 m past one crossing, then east 40 m to the bank."""
    corner = place(0, 60, at=True, sightings=[CAFE])
    end = place(40, 60, sightings=[BANK])
    north = Leg(0.0, (place(0, 20), place(0, 40, at=True)), corner, CAFE, 60.0)
    east = Leg(90.0, (place(20, 60),), end, BANK, 40.0)
    return Route("test", place(0, 0), start_heading, (north, east))


def journey(route=None, *, style="absolute", attempts=2, move_on=False):
    positions, sentences = lay_rail(
        route or l_shaped_route(), style=style, distances=False, wording=Wording(None)
    )
    return RailJourney(positions, sentences, attempts=attempts, move_on=move_on)


def say(observation="", instruction=None, action="forward()", style="absolute"):
    answer = {
        "current observation": observation,
        "current instruction": instruction,
        "action": action,
    }
    return read(json.dumps(answer), style)


def test_with_a_second_attempt_a_route_is_solved_without_looking():
    """Why figures tell success without a wrong answer beside success."""
    ride, turns, rewards = journey(), iter(["turn_direction(east)", "stop()"]), []
    judgement = ride.respond(say(action="forward()"))
    while judgement.ended_by is None:
        rewards.append(judgement.reward)
        action = "forward()" if judgement.reward > 0 else next(turns)
        judgement = ride.respond(say(action=action))
    assert judgement.ended_by is EndedBy.SUCCESS
    assert sum(reward < 0 for reward in rewards) == 2


def test_the_rail_asks_what_the_route_needs():
    ride, actions = journey(), []
    judgement = None
    while judgement is None or judgement.ended_by is None:
        actions.append(str(ride.expert_action()))
        judgement = ride.respond(say(action=actions[-1]))
        assert judgement.reward == 1.0
    assert actions == [*["forward()"] * 3, "turn_direction(east)", *["forward()"] * 2, "stop()"]
    assert judgement.ended_by is EndedBy.SUCCESS
    assert ride.sentences == (
        "Move forward until you reach the intersection, where Joe's {Blue} Cafe is in front of you.",
        "Turn right to face east.",
        "Move forward until you reach your destination, where Red Star Bank is on your right.",
        "Stop.",
    )


def test_relative_actions_never_speak_of_the_compass():
    ride = journey(l_shaped_route(start_heading=180.0), style="relative")
    assert str(ride.expert_action()) == "turn_direction(right)"
    assert ride.sentences[0] == "Turn around."
    assert not any(word in " ".join(ride.sentences) for word in ("north", "east"))
    assert ride.respond(say(action="turn_direction(left)", style="relative")).reward == 1.0


def test_no_turn_is_no_instruction():
    """Published defect 4: a turn of 0 degrees was 'slightly left'."""
    assert "Turn" not in journey().sentences[0]


def test_north_is_a_heading():
    """Published defect 19: heading 0 was taken for none and drawn at random."""
    assert journey(l_shaped_route(start_heading=0.0)).heading == 0.0


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (say("No landmarks nearby.", "1", "forward()"), "correct_action"),
        (say("You observe an intersection.", "3", "forward()"), "correct_action"),
        (say("You observe an intersection.", "1", "stop()"), "wrong_observation"),
        (say("No landmarks nearby.", "2", "stop()"), "wrong_instruction"),
        (say("No landmarks nearby.", "Turn right to face east", "stop()"), "wrong_instruction"),
        (say("No landmarks nearby.", "99999999999999999999", "stop()"), "wrong_instruction"),
        (say("No landmarks nearby.", "1", "stop()"), "wrong_action"),
        (say("I am not at an intersection.", 1, "stop()"), "wrong_action"),
        (say(None, None, "stop()"), "wrong_action"),  # published defect 17: null raised
        (say({"seen": ["x"]}, ["1"], 7), "wrong_instruction"),
        (read("forward()", "absolute"), "correct_action"),
        (read("no idea", "absolute"), "wrong_action"),
        (
            read("{'current observation': 'nothing', 'action': 'forward() '}", "absolute"),
            "correct_action",
        ),
    ],
)
def test_each_answer_has_its_row_of_the_table(answer, verdict):
    judgement = journey().respond(answer)
    assert (judgement.verdict, judgement.reward) == (verdict, REWARDS[judgement.verdict])


def test_of_equal_sentences_the_one_that_applies_is_meant():
    """The first of them was taken for the one that was named: the right words were then blamed."""
    corner, crossing = (place(x, 60, at=True) for x in (0, 40))
    legs = (
        Leg(0.0, (), corner, CAFE, 60.0),
        Leg(90.0, (), crossing, None, 40.0),
        Leg(180.0, (), place(40, 0, sightings=[BANK]), BANK, 60.0),
    )
    ride = journey(Route("test", place(0, 0), 0.0, legs), style="relative")
    words = "Turn right."
    second = [i for i, sentence in enumerate(ride.sentences) if sentence == words][1]
    while ride.position.instruction != second:
        ride.respond(say(action=str(ride.expert_action()), style="relative"))
    assert ride.respond(say(None, words, "stop()", "relative")).verdict == "wrong_action"
    other = ride.sentences[0]
    assert ride.respond(say(None, other, "stop()", "relative")).verdict == "wrong_instruction"


def test_the_oracles_observation_is_never_called_wrong():
    """Published defect 2: at an intersection the true observation with a wrong action was answered
    'you are not at any intersection'."""
    ride = journey()
    for _ in range(3):
        ride.respond(say(action="forward()"))
    assert ride.place.at_intersection
    truth = observation_words(ride.place, ride.heading)
    judgement = ride.respond(say(truth, "2", "forward()"))
    assert judgement.verdict == "wrong_action"
    assert "intersection" not in judgement.feedback


def test_a_wrong_action_never_moves_and_the_last_attempt_counts():
    """Published defects 7, 8, 9: the last attempt was thrown away, success stayed true, and the
    heading advanced without the place."""
    ride = journey(attempts=3)
    before = ride.position
    for left in (2, 1):
        assert ride.respond(say(action="stop()")).ended_by is None
        assert (ride.position, ride.facts()["attempts_left"]) == (before, left)
    assert ride.respond(say(action="forward()")).verdict == "correct_action"
    ride = journey(attempts=1)
    judgement = ride.respond(say(action="stop()"))
    assert (judgement.reward, judgement.ended_by) == (-1.0, EndedBy.OUT_OF_ATTEMPTS)
    assert ride.position == before


def test_being_led_on_visits_every_position_and_is_no_success():
    ride = journey(attempts=1, move_on=True)
    rewards = []
    judgement = None
    while judgement is None or judgement.ended_by is None:
        wrong = "stop()" if str(ride.expert_action()) != "stop()" else "forward()"
        judgement = ride.respond(say(action=wrong))
        rewards.append(judgement.reward)
    assert rewards == [-1.0] * 7
    assert judgement.ended_by is EndedBy.OUT_OF_ATTEMPTS


@settings(max_examples=300)
@given(st.text(max_size=300))
def test_any_text_has_a_verdict(text):
    judgement = journey().respond(read(text, "absolute"))
    assert judgement.reward == REWARDS[judgement.verdict]


def test_what_is_seen_is_said_on_the_side_where_it_is():
    assert sighting_words(BANK, heading=90.0) == "Red Star Bank is on your right"
    for heading, side in zip((180, 90, 0, 270), ("front", "right", "back", "left"), strict=True):
        assert sighting_words(BANK, heading).endswith(SIDES[side])
