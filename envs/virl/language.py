"""What V-IRL says: instructions of a route, what is seen from a place, and the task itself.

`fixed` wording is always the same; `varied` picks one of several by the episode's generator, so
that an agent learns the task and not a sentence. `brief` wording says all of it in fewer words. Facts are
the same in every wording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from envs.virl.actions import NO_TURN_BELOW, Style, turn_name, turn_words
from envs.virl.geo import turn_between, view_side
from envs.virl.route import Leg, Place, Sighting

SIDES = {
    "front": "in front of you",
    "right": "on your right",
    "back": "behind you",
    "left": "on your left",
}
BRIEF_SIDES = {"front": "front", "right": "right", "back": "behind", "left": "left"}

FACE = (
    "Turn {words} to face {name}.",
    "Make a turn {words}, so that you face {name}.",
    "Here you turn {words}; you then look {name}.",
    "Change direction: {words}, to the {name}.",
)
TURN = (
    "Turn {name}.",
    "Make a turn {name}.",
    "Here you turn {name}.",
    "Change direction: {name}.",
)
CLOCK_TURN = (
    "Turn to {name} o'clock.",
    "Make a turn to {name} o'clock.",
    "Here you turn to {name} o'clock.",
    "Change direction: to {name} o'clock.",
)
TURNS: dict[Style, tuple[str, ...]] = {"absolute": FACE, "letters": FACE, "clock": CLOCK_TURN}
"""Of styles that have sentences of their own."""
WALKS = (
    "Move forward{far} until you reach {where}.",
    "Walk straight on{far} as far as {where}.",
    "Keep going{far}; you come to {where}.",
    "Follow the street{far} to {where}.",
)
BRIEF_WALKS = (
    "Forward{far} until {where}.",
    "Walk on{far} until {where}.",
    "Go straight{far} until {where}.",
    "Keep on{far} until {where}.",
)
STOPS = ("Stop.", "You have arrived: stop.", "Stop here.", "This is the place to stop.")


@dataclass(frozen=True)
class Instruction:
    """A line of the way. `awaits` is what it is over at, in its own words; None if it is done at once."""

    sentence: str
    awaits: str | None = None


class Wording:
    """Chooses among wordings: always the first when `rng` is None, else by `rng`."""

    def __init__(self, rng: np.random.Generator | None, *, brief: bool = False) -> None:
        self._rng = rng
        self.brief = brief

    def pick(self, wordings: Sequence[str]) -> str:
        return wordings[0 if self._rng is None else int(self._rng.integers(len(wordings)))]


def needs_turn(heading: float, target: float) -> bool:
    return abs(turn_between(heading, target)) >= NO_TURN_BELOW


def turn_instruction(heading: float, target: float, style: Style, wording: Wording) -> Instruction:
    words, name = turn_words(heading, target), turn_name(heading, target, style)
    return Instruction(wording.pick(TURNS.get(style, TURN)).format(words=words, name=name))


def walk_instruction(
    leg: Leg, arrival_heading: float, *, last: bool, distances: bool, wording: Wording
) -> Instruction:
    if last:
        where = "your destination"
    elif any(place.at_intersection for place in leg.path):
        where = "the intersection"
    else:
        where = "the next intersection"
    if leg.landmark is not None:
        said = sighting_words(leg.landmark, arrival_heading, brief=wording.brief)
        where += f", {said}" if wording.brief else f", where {said}"
    far = f" for about {max(5, round(leg.length / 5) * 5)} meters" if distances else ""
    walks = BRIEF_WALKS if wording.brief else WALKS
    return Instruction(wording.pick(walks).format(far=far, where=where), awaits=where)


def sighting_words(sighting: Sighting, heading: float, *, brief: bool = False) -> str:
    side = view_side(heading, sighting.bearing)
    where = sighting.said or f"is {SIDES[side]}"
    if brief:
        said = (sighting.said or "").removeprefix("is ").removeprefix("on your ")
        where = said or BRIEF_SIDES[side]
    return f"{sighting.name} {where}"


def observation_words(place: Place, heading: float, *, brief: bool = False) -> str:
    """What an observer writes down at a place: the intersection, then landmarks, nearest first."""
    seen = [sighting_words(sighting, heading, brief=brief) for sighting in place.sightings]
    if place.at_intersection:
        seen.insert(0, "intersection" if brief else "You observe an intersection")
    if not seen:
        return "nothing." if brief else "No landmarks nearby."
    return "; ".join(seen) + "."
