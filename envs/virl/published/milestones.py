"""Reads `milestone_info`: blocks of fields that look like JSON and are not.

    { "intersection_idx": "1", "landmarks": "Prince St is on your front", "distance": "16 meters",
      "human_heading": "0", "to_next_intersection_heading": "298 (northwest)", }

A block is about one stop, and its fields are of the walk that leads there, whatever their names say:

    landmarks                     what is at the stop, on which side as one arrives; of the last one "The
                                  destination X is on your left"
    distance                      from the stop before
    human_heading                 how one stands there, before the turn: of the first block, at the start
    to_next_intersection_heading  the way from the stop before to this one

Names may hold braces, apostrophes and quotes, so fields are found by their keys, and a block ends
where a key comes again.
"""

from __future__ import annotations

import math
import re
import string
from dataclasses import dataclass, field

from envs.virl.published.errors import DataError

FIELDS = (
    "intersection_idx",
    "landmarks",
    "distance",
    "human_heading",
    "to_next_intersection_heading",
)
LONGEST = 1_000_000
_KEY = re.compile(rf'"({"|".join(FIELDS)})"\s*:\s*')
_AFTER_VALUE = string.whitespace + ",{}"
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_SIGHT = re.compile(r"(?P<name>.+?) (?:is|are) (?:on|at|in) your (?P<side>[a-z -]+)", re.I | re.S)
_SIDES = {
    "front": 0.0, "front right": 45.0, "right front": 45.0, "right": 90.0, "right behind": 135.0,
    "right back": 135.0, "behind right": 135.0, "behind": 180.0, "back": 180.0, "rear": 180.0,
    "left behind": -135.0, "left back": -135.0, "behind left": -135.0, "left": -90.0,
    "left front": -45.0, "front left": -45.0,
}  # fmt: skip


@dataclass(frozen=True)
class Milestone:
    """One block. What is missing or says "no landmark nearby" is None."""

    index: int | None
    landmark: Landmark | None
    heading_before: float | None
    heading_to: float | None


@dataclass(frozen=True)
class Landmark:
    """A landmark's name, its side in the data's own words, and the side in degrees from ahead."""

    name: str
    said: str
    turn: float | None = field(default=None)


def read_milestones(text: str) -> list[Milestone]:
    """The blocks of a text, in order. A DataError where a number is too large for one."""
    text = text[:LONGEST]
    keys = list(_KEY.finditer(text))
    blocks: list[dict[str, str]] = []
    ends = [key.start() for key in keys[1:]] + [len(text)]
    for key, end in zip(keys, ends, strict=False):  # without keys there are no blocks
        value = _value(text[key.end() : end])
        if not blocks or key[1] in blocks[-1]:
            blocks.append({})
        blocks[-1][key[1]] = value
    return [
        Milestone(
            index=_whole(block, "intersection_idx"),
            landmark=read_landmark(block.get("landmarks")),
            heading_before=_number(block, "human_heading"),
            heading_to=_number(block, "to_next_intersection_heading"),
        )
        for block in blocks
    ]


def _value(raw: str) -> str:
    """The text between a key and the next one, without its quotes, comma and the block's brace."""
    raw = raw.rstrip(_AFTER_VALUE)
    if raw.startswith('"'):
        return raw[1:].rpartition('"')[0] if '"' in raw[1:] else raw[1:]
    return raw


def read_landmark(text: str | None) -> Landmark | None:
    """ "X is on your left" -> X, left; None where no landmark is named. Of "The destination X" the name
    alone is kept: instructions say themselves that it is the destination."""
    if (
        text is None
        or not text.strip()
        or re.match(r"\s*(no landmarks?\b|none\b|null\b)", text, re.I)
    ):
        return None
    text = text.strip().removeprefix("The destination ")
    match = _SIGHT.match(text)
    if match is None:
        return Landmark(text, "is nearby")
    side = " ".join(match["side"].lower().replace("-", " ").split())
    return Landmark(match["name"].strip(), f"is on your {side}", _SIDES.get(side))


def _number(block: dict[str, str], name: str) -> float | None:
    match = _NUMBER.search(block.get(name, ""))
    if match is None:
        return None
    number = float(match[0])
    if not math.isfinite(number):  # of some 300 digits or more
        raise DataError(f"{name!r} must be a number that a float can hold, got {match[0]!r:.60}")
    return number


def _whole(block: dict[str, str], name: str) -> int | None:
    number = _number(block, name)
    return None if number is None else int(number)
