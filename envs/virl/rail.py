"""`mode=rail`: the agent is led along the true route and asked at every position what to do.

A right action moves it to the next position; a wrong one never moves it and costs one of the
attempts of that position. Rewards, one row per attempt: the action decides first, and a wrong
action is blamed on the first thing that the answer had wrong.

    correct_action      +1     the action is right, whatever else the answer says
    wrong_observation   -1.5   wrong about being at an intersection
    wrong_instruction   -1.75  names another instruction than the one that applies
    wrong_action        -1     everything else
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from envs.contract import EndedBy
from envs.virl.actions import FORWARD, STOP, Action, Style, right_directions
from envs.virl.answer import Answer
from envs.virl.geo import bearing
from envs.virl.language import (
    STOPS,
    Instruction,
    Wording,
    needs_turn,
    turn_instruction,
    walk_instruction,
)
from envs.virl.route import Leg, Place, Route


class RailVerdict(StrEnum):
    CORRECT_ACTION = "correct_action"
    WRONG_ACTION = "wrong_action"
    WRONG_OBSERVATION = "wrong_observation"
    WRONG_INSTRUCTION = "wrong_instruction"


REWARDS = {
    RailVerdict.CORRECT_ACTION: 1.0,
    RailVerdict.WRONG_ACTION: -1.0,
    RailVerdict.WRONG_OBSERVATION: -1.5,
    RailVerdict.WRONG_INSTRUCTION: -1.75,
}


@dataclass(frozen=True)
class Judgement:
    """What a journey makes of one answer."""

    verdict: StrEnum
    reward: float
    feedback: str
    ended_by: EndedBy | None = None


@dataclass(frozen=True)
class Position:
    """One question of a rail: where the agent stands, what applies, which actions are right. `arrived`
    where the instruction before it has just been followed to its end."""

    place: Place
    heading: float
    instruction: int
    right: tuple[Action, ...]
    arrived: bool = False


def lay_rail(
    route: Route, *, style: Style, distances: bool, wording: Wording
) -> tuple[tuple[Position, ...], tuple[Instruction, ...]]:
    """The positions of a route and the instructions that their `instruction` indices point into."""
    positions: list[Position] = []
    instructions: list[Instruction] = []
    here, heading = route.start, route.start_heading
    for number, leg in enumerate(route.legs):
        arrived = number > 0
        if needs_turn(heading, leg.turn_to):
            turns = tuple(
                Action("turn_direction", name)
                for name in right_directions(heading, leg.turn_to, style)
            )
            positions.append(Position(here, heading, len(instructions), turns, arrived))
            instructions.append(turn_instruction(heading, leg.turn_to, style, wording))
            arrived = False
        walked = (here, *leg.path)
        facing = _headings(leg, here)
        for place, towards in zip(walked, facing, strict=True):
            positions.append(Position(place, towards, len(instructions), (FORWARD,), arrived))
            arrived = False
        here, heading = leg.end, facing[-1]
        last = number == len(route.legs) - 1
        instructions.append(
            walk_instruction(leg, heading, last=last, distances=distances, wording=wording)
        )
    positions.append(Position(here, heading, len(instructions), (STOP,), arrived=True))
    instructions.append(Instruction(wording.pick(STOPS)))
    return tuple(positions), tuple(instructions)


def _headings(leg: Leg, start: Place) -> list[float]:
    """Where a walker faces at the foot of a leg and at each place of its path.

    Between real panoramas, a few metres off the line each, the street's own heading is the truth.
    """
    walked = (start, *leg.path, leg.end)
    if start.panorama is not None:
        return [leg.turn_to] * (len(walked) - 1)
    return [bearing(a.position, b.position) for a, b in itertools.pairwise(walked)]


class RailJourney:
    """An episode on the rail."""

    def __init__(
        self,
        positions: Sequence[Position],
        instructions: tuple[Instruction, ...],
        *,
        attempts: int,
        move_on: bool,
        blame_instructions: bool = True,
    ) -> None:
        """With `move_on`, running out of attempts leads to the next position and not to the end; without
        `blame_instructions`, none is `wrong_instruction`."""
        self.instructions = instructions
        self.sentences = tuple(instruction.sentence for instruction in instructions)
        self._positions = positions
        self._index = 0
        self._attempts = self._left = attempts
        self._move_on = move_on
        self._blame_instructions = blame_instructions
        self._failed = False

    @property
    def position(self) -> Position:
        return self._positions[self._index]

    @property
    def place(self) -> Place:
        return self.position.place

    @property
    def heading(self) -> float:
        return self.position.heading

    @property
    def walked(self) -> list[Place]:
        return [position.place for position in self._positions[: self._index + 1]]

    def followed(self) -> Position:
        """What applies here, as the expert has it."""
        return self.position

    def facts(self) -> dict[str, object]:
        return {
            "instruction_index": self.position.instruction,
            "attempts_left": self._left,
            "positions_left": len(self._positions) - self._index,
        }

    def expert_action(self) -> Action:
        return self.position.right[0]

    def right_actions(self) -> tuple[Action, ...]:
        return tuple(self.position.right)

    def confusions(self) -> list[tuple[int, Action]]:
        """The neighbouring instructions, each with what it asks for, where that is not right here."""
        now = self.position
        asked = {p.instruction: p.right[0] for p in reversed(self._positions)}
        near = (now.instruction - 1, now.instruction + 1)
        return [(i, asked[i]) for i in near if i in asked and asked[i] not in now.right]

    def respond(self, answer: Answer) -> Judgement:
        if answer.action in self.position.right:
            return self._advance(RailVerdict.CORRECT_ACTION, "Right.")
        verdict, why = self._blame(answer)
        self._left -= 1
        if self._left > 0:
            left = f"{self._left} attempt{'s' if self._left > 1 else ''} left here."
            return Judgement(verdict, REWARDS[verdict], f"{why} {left}")
        self._failed = True
        if self._move_on:
            return self._advance(verdict, f"{why} No attempts left here: you are led on.")
        why = f"{why} No attempts left."
        return Judgement(verdict, REWARDS[verdict], why, EndedBy.OUT_OF_ATTEMPTS)

    def _advance(self, verdict: RailVerdict, feedback: str) -> Judgement:
        if self._index == len(self._positions) - 1:
            ended = EndedBy.OUT_OF_ATTEMPTS if self._failed else EndedBy.SUCCESS
            feedback = feedback if self._failed else "Right. You have arrived."
            return Judgement(verdict, REWARDS[verdict], feedback, ended)
        self._index += 1
        self._left = self._attempts
        return Judgement(verdict, REWARDS[verdict], feedback)

    def _blame(self, answer: Answer) -> tuple[RailVerdict, str]:
        at_one = self.place.at_intersection
        if answer.says_intersection not in (None, at_one):
            fact = "You are at an" if at_one else "You are not at an"
            return RailVerdict.WRONG_OBSERVATION, f"{fact} intersection."
        named_it = answer.names(self.position.instruction, self.sentences)
        if self._blame_instructions and named_it is False:
            return RailVerdict.WRONG_INSTRUCTION, "Another instruction applies here."
        if answer.action is None:
            return RailVerdict.WRONG_ACTION, f"No such action: {answer.action_words}."
        return RailVerdict.WRONG_ACTION, f"{answer.action} is not right here."
