"""A world with tools, and with several pictures in one observation.

Two pictures show what is wanted, a disc of some colour, and a cabinet with two closed drawers. The agent
opens drawers by one tool, whose result is a picture, and takes one's disc by the other, which ends it all.
How to act stands in a system prompt of the world's own.
"""

from enum import StrEnum

import gymnasium
import numpy as np
from PIL import Image, ImageDraw

from envs import BadCall, EndedBy, Outcome, Scene, Tool, World, read_call, write_call

COLOURS = {"red": (206, 54, 48), "green": (38, 142, 78), "blue": (48, 92, 200)}
SIDES = ("left", "right")
DRAWER = {
    "type": "object",
    "properties": {"drawer": {"type": "string", "enum": list(SIDES), "description": "Which."}},
    "required": ["drawer"],
}


class Verdict(StrEnum):
    OPENED = "opened"
    RIGHT_ONE = "right_one"
    WRONG_ONE = "wrong_one"
    NO_CALL = "no_call"
    SEVERAL_CALLS = "several_calls"
    UNREADABLE_CALL = "unreadable_call"
    UNKNOWN_TOOL = "unknown_tool"
    WRONG_ARGUMENTS = "wrong_arguments"


class TwoDrawers(World):
    verdicts = Verdict
    system = (
        "You act by calling tools, one at a time. Take the disc of the colour that you are shown."
    )
    tools = (
        Tool("open_drawer", "Shows what is in a drawer.", DRAWER),
        Tool("take", "Takes what is in a drawer.", DRAWER),
    )

    def __init__(self, *, mistakes: int = 3, render_mode: str | None = None) -> None:
        super().__init__(images=True, render_mode=render_mode)
        self.allowed = mistakes

    def begin(self, rng, options):
        wanted, other = rng.permutation(list(COLOURS))[:2].tolist()
        self.wanted = wanted
        self.inside = dict(zip(SIDES, rng.permutation([wanted, other]).tolist(), strict=True))
        self.size = dict(zip(SIDES, rng.choice([56, 84], 2).tolist(), strict=True))
        self.seen: set[str] = set()
        self.mistakes = 0
        return Scene("Wanted, and the cabinet.", images=[disc(wanted, 56), cabinet()])

    def respond(self, text):
        call = read_call(text, self.tools)
        if isinstance(call, BadCall):
            self.mistakes += 1
            ended = EndedBy.OUT_OF_ATTEMPTS if self.mistakes >= self.allowed else None
            verdict = Verdict(call.fault)
            return Outcome(verdict, -0.1, Scene(call.message), call.message, ended)
        drawer = call.arguments["drawer"]
        if call.name == "open_drawer":
            self.seen.add(drawer)
            picture = disc(self.inside[drawer], self.size[drawer])
            scene = Scene(f"The {drawer} drawer.", images=[picture], tool=call.name)
            return Outcome(Verdict.OPENED, 0.0, scene)
        if self.inside[drawer] == self.wanted:
            scene = Scene("That is it.", tool=call.name)
            return Outcome(Verdict.RIGHT_ONE, 1.0, scene, ended_by=EndedBy.SUCCESS)
        scene = Scene("That is another.", tool=call.name)
        return Outcome(Verdict.WRONG_ONE, -1.0, scene, ended_by=EndedBy.FAILURE)

    def expert(self):
        """Opens the left drawer, and then knows."""
        if not self.seen:
            return write_call("open_drawer", drawer="left")
        side = next(side for side in SIDES if self.inside[side] == self.wanted)
        return write_call("take", drawer=side)


def disc(colour: str, side: int) -> np.ndarray:
    page = Image.new("RGB", (side, side), "white")
    ImageDraw.Draw(page).ellipse((8, 8, side - 8, side - 8), fill=COLOURS[colour])
    return np.asarray(page)


def cabinet() -> np.ndarray:
    page = Image.new("RGB", (112, 56), (214, 158, 66))
    draw = ImageDraw.Draw(page)
    for left in (0, 56):
        draw.rectangle((left + 4, 8, left + 51, 47), outline=(92, 62, 48), width=3)
        draw.ellipse((left + 24, 24, left + 32, 32), fill=(92, 62, 48))
    return np.asarray(page)


gymnasium.register("examples/TwoDrawers-v0", TwoDrawers)
