"""The forms of an answer: `json` as it was published, and `short`, which says the same in few tokens.

A form asks for itself in the first observation, words what is seen at every turn, writes the answer of an
expert, and reads an agent's. With `thought` the expert also writes what was waited for and whether it is
there, before the instruction that then applies; nobody judges that part.

    json   {"current observation": "...", "thought": "2 until ...: reached.", "current instruction": "3",
            "action": "turn_direction(south)"}
    short  Here: intersection; Town Hall left. 2 until the next intersection, Town Hall left: reached.
           3: turn south
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from envs.virl.actions import Action, Style, directions
from envs.virl.answer import Answer, read, read_short
from envs.virl.language import BRIEF_SIDES, Wording

TASKS = (
    "You walk through a city and follow instructions. Each turn shows {view}. Do one action.",
    "Find your way by the instructions below. You are shown {view} at each turn and choose one "
    "action.",
    "Act as a pedestrian who follows directions. At every place you get {view}; answer with your "
    "next action.",
)
BRIEF_TASKS = (
    "Follow the instructions through a city. Each turn shows {view}.",
    "Walk by the instructions. You see {view} each turn.",
    "These instructions lead through a city; at every place you get {view}.",
)


@dataclass(frozen=True)
class Asked:
    """What the first observation has to say about an episode. `order` is that of the four views, None
    where there are none."""

    instructions: Sequence[str]
    style: Style
    order: Sequence[str] | None
    by_number: bool
    thought: bool
    free: bool


@dataclass(frozen=True)
class Said:
    """What an expert has to say. `waits` is "" where nothing is waited for, `instruction` None where
    none is named."""

    observation: str
    waits: str
    instruction: str | None
    action: Action


class Form(Protocol):
    brief: bool

    def ask(self, asked: Asked, wording: Wording) -> str: ...

    def tell(self, feedback: str, observation: str) -> str:
        """What a turn says where there are no pictures."""
        ...

    def write(self, said: Said) -> str: ...

    def read(self, text: str, style: Style) -> Answer: ...


class JsonForm:
    """The published form. `Said.waits` is a field of its own."""

    brief = False

    def ask(self, asked: Asked, wording: Wording) -> str:
        view = "in words what you observe"
        if asked.order is not None:
            a, b, c, d = asked.order
            view = f"four street views in one picture: {a}, {b} (top row), {c}, {d} (bottom row)"
        thought = '"thought": what an instruction waits for and whether it is reached, '
        return "\n".join(
            [
                wording.pick(TASKS).format(view=view),
                *_listed(asked.instructions),
                "Actions: forward(), turn_direction(x), stop(); x is one of: "
                f"{', '.join(directions(asked.style))}.",
                'Answer in JSON: {"current observation": what you observe now, '
                f'{thought if asked.thought else ""}"current instruction": '
                f"{'number of ' if asked.by_number else ''}the instruction that applies now, "
                '"action": your action}',
            ]
        )

    def tell(self, feedback: str, observation: str) -> str:
        return f"{feedback}\nObservation: {observation}"

    def write(self, said: Said) -> str:
        fields = {"current observation": said.observation}
        if said.waits:
            fields["thought"] = said.waits
        if said.instruction is not None:
            fields["current instruction"] = said.instruction
        return json.dumps(fields | {"action": str(said.action)}, ensure_ascii=False)

    def read(self, text: str, style: Style) -> Answer:
        return read(text, style)


class ShortForm:
    """One line, or with a thought one before it. Only the last line is read."""

    brief = True

    def __init__(self, *, thought: bool) -> None:
        self._thought = thought

    def ask(self, asked: Asked, wording: Wording) -> str:
        view = "in words what is here"
        if asked.order is not None:
            a, b, c, d = (BRIEF_SIDES[side] for side in asked.order)
            view = f"four street views: {a}, {b}, below them {c}, {d}"
        way = directions(asked.style)
        return "\n".join(
            [
                wording.pick(BRIEF_TASKS).format(view=view),
                *_listed(asked.instructions),
                f"Actions: forward, turn X, stop; X is one of: {', '.join(way)}.",
                _asked_briefly(asked, turn=f"turn {way[0]}"),
            ]
        )

    def tell(self, feedback: str, observation: str) -> str:
        return f"{feedback}\nHere: {observation}"

    def write(self, said: Said) -> str:
        named = f"{said.instruction.removesuffix('.')}: " if said.instruction else ""
        line = f"{named}{brief_action(said.action)}"
        if not self._thought:
            return line
        return " ".join(["Here:", said.observation, said.waits]).rstrip() + f"\n{line}"

    def read(self, text: str, style: Style) -> Answer:
        return read_short(text, style)


def brief_action(action: Action) -> str:
    return f"turn {action.direction}" if action.direction else action.verb


def _listed(instructions: Sequence[str]) -> list[str]:
    lines = [f"{number}. {sentence}" for number, sentence in enumerate(instructions, 1)]
    return ["Instructions:", *lines]


def _asked_briefly(asked: Asked, *, turn: str) -> str:
    """The form by an example, which is of no place that there is."""
    named = "3: " if asked.by_number else "Turn around: "
    line = turn if asked.free else f"{named}{turn}"
    if asked.thought:
        waits = "2 until" if asked.by_number else "Until"
        here = f"Here: intersection; Town Hall left. {waits} the next intersection, Town Hall left"
        return f"Answer in two lines like:\n{here}: reached.\n{line}"
    if asked.free:
        return f"Answer with the action alone, like: {line}"
    which = "the number of the instruction" if asked.by_number else "the instruction"
    return f"Answer with {which} that applies now and the action, like: {line}"
