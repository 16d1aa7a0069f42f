"""What V-IRL says: instructions of a route, what is seen from a place, and the task itself.

`fixed` wording is always the same; `varied` picks one of several by the episode's generator, so
that an agent learns the task and not a sentence. Facts are the same in every wording.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.virl.actions import NO_TURN_BELOW, Style, directions, turn_words
from envs.virl.geo import compass_name, turn_between, view_side
from envs.virl.route import Leg, Place, Sighting

SIDES = {
    "front": "in front of you",
    "right": "on your right",
    "back": "behind you",
    "left": "on your left",
}

TURNS = {
    "absolute": (
        "Turn {words} to face {compass}.",
        "Make a turn {words}, so that you face {compass}.",
        "Here you turn {words}; you then look {compass}.",
        "Change direction: {words}, to the {compass}.",
    ),
    "relative": (
        "Turn {words}.",
        "Make a turn {words}.",
        "Here you turn {words}.",
        "Change direction: {words}.",
    ),
}
WALKS = (
    "Move forward{far} until you reach {where}.",
    "Walk straight on{far} as far as {where}.",
    "Keep going{far}; you come to {where}.",
    "Follow the street{far} to {where}.",
)
STOPS = ("Stop.", "You have arrived: stop.", "Stop here.", "This is the place to stop.")

TASKS = (
    "You walk through a city and follow instructions. Each turn shows {view}. Do one action.",
    "Find your way by the instructions below. You are shown {view} at each turn and choose one "
    "action.",
    "Act as a pedestrian who follows directions. At every place you get {view}; answer with your "
    "next action.",
)


class Wording:
    """Chooses among wordings: always the first when `rng` is None, else by `rng`."""

    def __init__(self, rng: np.random.Generator | None) -> None:
        self._rng = rng

    def pick(self, wordings: Sequence[str]) -> str:
        return wordings[0 if self._rng is None else int(self._rng.integers(len(wordings)))]


def needs_turn(heading: float, target: float) -> bool:
    return abs(turn_between(heading, target)) >= NO_TURN_BELOW


def turn_instruction(heading: float, target: float, style: Style, wording: Wording) -> str:
    words, compass = turn_words(heading, target), compass_name(target)
    return wording.pick(TURNS[style]).format(words=words, compass=compass)


def walk_instruction(
    leg: Leg, arrival_heading: float, *, last: bool, distances: bool, wording: Wording
) -> str:
    if last:
        where = "your destination"
    elif any(place.at_intersection for place in leg.path):
        where = "the intersection"
    else:
        where = "the next intersection"
    if leg.landmark is not None:
        where += f", where {sighting_words(leg.landmark, arrival_heading)}"
    far = f" for about {max(5, round(leg.length / 5) * 5)} meters" if distances else ""
    return wording.pick(WALKS).format(far=far, where=where)


def sighting_words(sighting: Sighting, heading: float) -> str:
    where = sighting.said or f"is {SIDES[view_side(heading, sighting.bearing)]}"
    return f"{sighting.name} {where}"


def observation_words(place: Place, heading: float) -> str:
    """What an observer writes down at a place: the intersection, then landmarks, nearest first."""
    seen = [sighting_words(sighting, heading) for sighting in place.sightings]
    if place.at_intersection:
        seen.insert(0, "You observe an intersection")
    return "; ".join(seen) + "." if seen else "No landmarks nearby."


def task_text(
    *,
    visual: bool,
    order: Sequence[str],
    style: Style,
    instruct: Sequence[str],
    by_number: bool,
    wording: Wording,
) -> str:
    """The first observation of an episode: the task, the instructions, the form of the answer."""
    top, bottom = order[:2], order[2:]
    view = (
        f"four street views in one picture: {top[0]}, {top[1]} (top row), "
        f"{bottom[0]}, {bottom[1]} (bottom row)"
        if visual
        else "in words what you observe"
    )
    lines = [wording.pick(TASKS).format(view=view), "Instructions:"]
    lines += [f"{number}. {sentence}" for number, sentence in enumerate(instruct, 1)]
    lines += [
        f"Actions: forward(), turn_direction(x), stop(); x is one of: {', '.join(directions(style))}.",
        'Answer in JSON: {"current observation": what you observe now, "current instruction": '
        f'{"number of " if by_number else ""}the instruction that applies now, "action": your action}}',
    ]
    return "\n".join(lines)
