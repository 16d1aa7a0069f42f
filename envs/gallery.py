"""`python -m envs.gallery [OUT.png]` draws one picture of what the worlds look like.

A hand of each deck, street views of each embedded city, and a free-mode map with the route.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gymnasium
import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw

from envs.arguments import whole
from envs.contract import Image
from envs.fonts import typeface
from envs.general_points.decks import DRAWN_DECKS
from envs.printed import reader_may_leave
from envs.virl.city_files import CITIES

PAPER, INK = (250, 249, 246), (40, 40, 46)
WIDTH, GAP, CAPTION = 1560, 20, 34


def hands(seed: int) -> list[tuple[str, Image]]:
    """The same hand in each drawn deck, red and black."""
    cards = {"hand": ["AS", "8H", "JC", "KD"]}
    rows = []
    for deck in DRAWN_DECKS:
        env = gymnasium.make("amft/GeneralPoints-v0", deck=deck, colors="all", size=(360, 360))
        observation, _ = env.reset(seed=seed, options=cards)
        rows.append((f"General Points, deck={deck}", observation["image"]))
    return rows


def streets(seed: int) -> list[tuple[str, Image]]:
    """The first turn of a walk in each city: the four views at an intersection."""
    rows = []
    for city in CITIES:
        env = gymnasium.make("amft/VIRL-v0", city=city, size=(500, 500))
        observation, info = env.reset(seed=seed)
        while not info["at_intersection"] or "on your" not in info["observation"]:
            action = env.unwrapped.expert()  # type: ignore[attr-defined]
            observation, _, _, _, info = env.step(action)
            if info["ended_by"]:
                seed += 1
                observation, info = env.reset(seed=seed)
        rows.append((f"V-IRL, city={city}", observation["image"]))
    return rows


def wandering(seed: int) -> list[tuple[str, Image]]:
    """An expert's walk in free mode as `render` shows it, half-way."""
    rows = []
    for city in ("gridtown", "helsinki"):
        env = gymnasium.make(
            "amft/VIRL-v0", city=city, mode="free", modality="text", render_mode="rgb_array"
        )
        _, info = env.reset(seed=seed)
        world = env.unwrapped
        start = info["distance_to_goal"]
        while info["distance_to_goal"] > start / 2:
            *_, info = env.step(world.expert())  # type: ignore[attr-defined]
        rows.append((f"V-IRL, mode=free, city={city}", world.frame_image()))  # type: ignore[attr-defined]
    return rows


def lay_out(rows: list[list[tuple[str, Image]]]) -> PILImage.Image:
    """Rows of captioned pictures, each row as wide as the page."""
    font = typeface("DejaVuSans.ttf", 17)
    strips = []
    for row in rows:
        width = (WIDTH - GAP * (len(row) + 1)) // len(row)
        pictures = [
            PILImage.fromarray(np.asarray(image)).resize(
                (width, round(image.shape[0] * width / image.shape[1])),
                PILImage.Resampling.LANCZOS,
            )
            for _, image in row
        ]
        strip = PILImage.new("RGB", (WIDTH, CAPTION + max(p.height for p in pictures) + GAP), PAPER)
        draw = ImageDraw.Draw(strip)
        for column, ((caption, _), picture) in enumerate(zip(row, pictures, strict=True)):
            left = GAP + column * (width + GAP)
            draw.text((left, CAPTION - 8), caption, INK, font, anchor="ls")
            strip.paste(picture, (left, CAPTION))
        strips.append(strip)
    page = PILImage.new("RGB", (WIDTH, GAP + sum(s.height for s in strips)), PAPER)
    top = GAP // 2
    for strip in strips:
        page.paste(strip, (0, top))
        top += strip.height
    return page


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m envs.gallery", description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=Path("gallery.png"))
    parser.add_argument("--seed", type=whole(0), default=3)
    arguments = parser.parse_args()
    known = PILImage.registered_extensions().get(arguments.out.suffix.lower())
    if known not in PILImage.SAVE:  # told before all is drawn
        parser.error(f"{arguments.out}: give a name that ends in .png")
    page = lay_out([hands(arguments.seed), streets(arguments.seed), wandering(arguments.seed)])
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    page.save(arguments.out, optimize=True)
    print(f"wrote {arguments.out} ({page.width} x {page.height})")


if __name__ == "__main__":
    with reader_may_leave():
        main()
