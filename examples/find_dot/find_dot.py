"""A world in one file: dots on a board of 3 x 3, one of them red; say where it is.

The picture is drawn anew for every task, a wrong answer may be mended once, and `pale` is a split with
colours that training never shows.
"""

from enum import StrEnum

import gymnasium
import numpy as np
from PIL import Image, ImageDraw

from envs import EndedBy, Outcome, Scene, World

RED, OTHERS = (210, 30, 30), ((30, 60, 200), (20, 140, 60))
PLACES = [
    f"{row} {column}"
    for row in ("top", "middle", "bottom")
    for column in ("left", "centre", "right")
]
SPLITS = {"train": 0.0, "pale": 0.4}  # how much white is mixed into the colours
SIDE, TRIES = 112, 2


class Verdict(StrEnum):
    FOUND = "found"
    ANOTHER = "another"
    NO_PLACE = "no_place"


class FindDot(World):
    verdicts = Verdict

    def __init__(self, split: str = "train", render_mode: str | None = None) -> None:
        if split not in SPLITS:
            raise ValueError(f"split={split!r}: one of {', '.join(SPLITS)}")
        self._white = SPLITS[split]
        super().__init__(image_size=(SIDE, SIDE), render_mode=render_mode)

    def begin(self, rng: np.random.Generator, options: dict) -> Scene:
        red, *cells = (
            int(cell) for cell in rng.choice(9, 1 + int(rng.integers(1, 5)), replace=False)
        )
        dots = {cell: OTHERS[int(rng.integers(len(OTHERS)))] for cell in cells} | {red: RED}
        self._place, self._tries = PLACES[red], TRIES
        self._picture = drawn(dots, self._white)
        return Scene(
            f"Where is the red dot?\nAnswer with one of: {', '.join(PLACES)}.", self._picture
        )

    def respond(self, text: str) -> Outcome:
        said = text.strip().strip(".").lower()
        if said == self._place:
            told = "Right."
            return Outcome(Verdict.FOUND, 1.0, Scene(told, self._picture), told, EndedBy.SUCCESS)
        self._tries -= 1
        verdict = Verdict.ANOTHER if said in PLACES else Verdict.NO_PLACE
        told = "It is not there." if said in PLACES else "That is no place."
        ended = None if self._tries else EndedBy.OUT_OF_ATTEMPTS
        return Outcome(verdict, -0.5, Scene(told, self._picture), told, ended)

    def expert(self) -> str:
        return self._place


def drawn(dots: dict[int, tuple[int, int, int]], white: float) -> np.ndarray:
    page = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(page)
    for cell, colour in dots.items():
        x, y = 20 + 36 * (cell % 3), 20 + 36 * (cell // 3)
        fill = tuple(round(c + white * (255 - c)) for c in colour)
        draw.ellipse((x - 14, y - 14, x + 14, y + 14), fill=fill, outline="grey")
    return np.asarray(page).copy()


gymnasium.register("examples/FindDot-v0", FindDot)
