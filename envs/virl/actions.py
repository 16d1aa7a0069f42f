"""The actions of V-IRL: `forward()`, `turn_direction(d)`, `stop()`, as models write them; in the short
form `forward`, `turn d`, `stop`.

`read_action` is forgiving about case, spaces, quotes and brackets and strict about words: it never
guesses a direction. What directions are called is the style of actions:

absolute   north, northeast ...        letters   n, ne ...
relative   left, slightly left ...     ship      port, slightly port ...     clock   one ... eleven
code_0 ... alfa, bravo ...: each has eight words of the alphabet that is spelt so, for the eight of a compass
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Literal

from envs.virl.geo import COMPASS, RELATIVE, compass_name, turn_between, wrap

Style = str

LETTERS = ("n", "ne", "e", "se", "s", "sw", "w", "nw")
SHIP = ("port", "starboard", "slightly port", "slightly starboard")
CLOCK = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
"""Where a clock's hand would point, were twelve ahead."""
ALPHABET = (
    *("alfa", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett"),
    *("kilo", "lima", "mike", "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango"),
    *("uniform", "victor", "whiskey", "xray", "yankee", "zulu"),
)
CODES: Mapping[Style, tuple[str, ...]] = {
    f"code_{number}": tuple(
        ALPHABET[(number + step * place) % len(ALPHABET)] for place in range(len(COMPASS))
    )
    for number, step in enumerate(islice(cycle((1, 3, 5, 7, 9)), len(ALPHABET)))
}
"""Which word is which direction differs from one to the next, so that it has to be read."""

_NAMES: Mapping[Style, tuple[str, ...]] = {
    "absolute": COMPASS,
    "relative": RELATIVE,
    "letters": LETTERS,
    "ship": SHIP,
    "clock": CLOCK,
    **CODES,
}
DRAWN: Mapping[str, tuple[Style, ...]] = {
    **{style: (style,) for style in _NAMES if style not in CODES},
    "code": tuple(CODES),
    "varied": ("absolute", "letters", "ship", "clock", *CODES),
}
"""By what `actions` says, the styles that a route's is drawn from. In several left and right stay unseen."""
_BY_COMPASS = ("absolute", "letters", *CODES)
_SIDES = {"left": -90.0, "right": 90.0, "slightly left": -45.0, "slightly right": 45.0}

SLIGHT_BELOW = 60.0
"""A turn of fewer degrees than this is 'slightly' left or right."""
NO_TURN_BELOW = 15.0
"""A turn of fewer degrees than this is no turn: the agent just walks on."""
ABOUT_TURN_FROM = 165.0
"""From here on a turn leads back: left and right are both right."""

LONGEST_ACTION = 200
_BRIEF = re.compile(
    r"(?P<verb>forward|stop|turn (?P<direction>[a-z]+( [a-z]+)?))\.?", re.IGNORECASE
)
_DIRECTIONS = {name.replace(" ", ""): name for names in _NAMES.values() for name in names}
_ACTION = re.compile(
    r"(?P<verb>forward|stop|turn_direction)\s*(?:\(\s*['\"]?(?P<direction>[a-z _-]{0,30}?)['\"]?\s*\))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Action:
    """`direction` is the name of a direction for a turn, None otherwise."""

    verb: Literal["forward", "turn_direction", "stop"]
    direction: str | None = None

    def __str__(self) -> str:
        return f"{self.verb}({self.direction or ''})"


FORWARD, STOP = Action("forward"), Action("stop")


def directions(style: Style) -> tuple[str, ...]:
    """The names of the directions that a style of actions knows."""
    return _NAMES[style]


def read_action(text: object, style: Style) -> Action | None:
    """The action that `text` is, or None if it is none of the style's actions."""
    if not isinstance(text, str) or len(text) > LONGEST_ACTION:
        return None
    match = _ACTION.fullmatch(text.strip().strip("`'\".;").strip())
    return _action(match, style) if match else None


def read_brief_action(text: str, style: Style) -> Action | None:
    """The action that `text` is in the short form: `forward`, `turn south` or `stop`, and no other
    spelling."""
    match = _BRIEF.fullmatch(text.strip())
    if match is None:
        return None
    if match["direction"] is None:
        return FORWARD if match["verb"].lower() == "forward" else STOP
    direction = match["direction"].lower()
    return Action("turn_direction", direction) if direction in directions(style) else None


def find_action(text: str, style: Style) -> Action | None:
    """The last action written out as a call anywhere in a text without an answer object."""
    for match in reversed(list(_ACTION.finditer(text[-2000:]))):
        if match["direction"] is not None and (action := _action(match, style)):
            return action
    return None


def _action(match: re.Match[str], style: Style) -> Action | None:
    verb = match["verb"].lower()
    if verb == "turn_direction":
        key = re.sub(r"[\s_-]", "", (match["direction"] or "").lower())
        direction = _DIRECTIONS.get(key)
        return Action("turn_direction", direction) if direction in directions(style) else None
    if match["direction"]:
        return None  # forward(north) is not an action
    return FORWARD if verb == "forward" else STOP


def turn_words(heading: float, target: float) -> str:
    """A turn in words: left, right, slightly left, slightly right, or around."""
    turn = turn_between(heading, target)
    if abs(turn) >= ABOUT_TURN_FROM:
        return "around"
    side = "right" if turn >= 0 else "left"
    return f"slightly {side}" if abs(turn) < SLIGHT_BELOW else side


def turn_name(heading: float, target: float, style: Style) -> str:
    """What an instruction calls a turn in this style: where it leads, or around."""
    right = right_directions(heading, target, style)
    return "around" if len(right) > 1 else right[0]


def right_directions(heading: float, target: float, style: Style) -> tuple[str, ...]:
    """The directions that count as this turn, the one an expert says first."""
    names = _NAMES[style]
    if style in _BY_COMPASS:
        return (names[COMPASS.index(compass_name(target))],)
    if style == "clock":
        hour = round(turn_between(heading, target) % 360 / 30)
        return (names[min(max(hour, 1), len(names)) - 1],)
    words = turn_words(heading, target)
    if words == "around":
        return names[1], names[0]
    return (names[RELATIVE.index(words)],)


def new_heading(heading: float, direction: str, style: Style) -> float:
    """Where a turn, taken at its word, makes the agent face."""
    place = _NAMES[style].index(direction)
    if style in _BY_COMPASS:
        return 45.0 * place
    turn = 30.0 * (place + 1) if style == "clock" else _SIDES[RELATIVE[place]]
    return wrap(heading + turn)
