"""One episode as pictures for slides: `frames(episode, pictures)`, one a turn, and how to save them.

save(images, path)    .gif by Pillow, .mp4 by the program ffmpeg, a folder for single PNG files
"""

from __future__ import annotations

import io
import shutil
import subprocess
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont

from agents.demonstrations import decoded
from amft_mm.replay.reader import read_source
from envs.image import side_by_side
from envs.paths import asset

WIDTH, HEIGHT, SIDE, MARGIN = 1200, 560, 480, 24
PAPER, INK, SOFT, GOOD, BAD = (
    (255, 255, 255),
    (30, 30, 36),
    (120, 120, 128),
    (0, 114, 178),
    (213, 94, 0),
)
SECONDS_A_TURN = 2.0
LONGEST = 600
"""Characters of a text that a frame shows."""


def frames(episode: Mapping[str, Any], pictures: Mapping[str, bytes]) -> list[PILImage.Image]:
    shown: PILImage.Image | None = None
    found = []
    for number, turn in enumerate(episode["turns"]):
        seen = side_by_side([decoded(pictures[key]) for key in turn["pictures"]])
        if seen is not None:
            shown = PILImage.fromarray(seen)
        found.append(_frame(episode, number, turn, shown))
    return found


def save(images: Sequence[PILImage.Image], path: Path) -> None:
    if path.suffix == ".gif":
        milliseconds = round(1000 * SECONDS_A_TURN)
        first, *rest = images
        first.save(path, save_all=True, append_images=rest, duration=milliseconds, loop=0)
    elif path.suffix == ".mp4":
        _film(images, path)
    else:
        path.mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images):
            image.save(path / f"turn-{number + 1:03d}.png")


def _film(images: Sequence[PILImage.Image], path: Path) -> None:
    program = shutil.which("ffmpeg")
    if program is None:
        raise RuntimeError(
            f"{path}: a film needs the program ffmpeg; --gif and --frames do without"
        )
    words = [program, "-y", "-loglevel", "error", "-f", "image2pipe", "-framerate"]
    words += [str(1 / SECONDS_A_TURN), "-i", "-", "-r", "10", "-pix_fmt", "yuv420p", str(path)]
    data = io.BytesIO()
    for image in images:
        image.save(data, format="PNG")
    done = subprocess.run(words, input=data.getvalue(), capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"ffmpeg could not write {path}: {done.stderr.decode(errors='replace')[-300:]}"
        )


def _frame(
    episode: Mapping[str, Any], number: int, turn: Mapping[str, Any], shown: PILImage.Image | None
) -> PILImage.Image:
    canvas = PILImage.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(canvas)
    large, small = (ImageFont.truetype(asset("fonts", "DejaVuSans.ttf"), s) for s in (20, 16))
    left = MARGIN
    if shown is not None:
        scale = SIDE / max(shown.size)
        size = max(1, round(shown.width * scale)), max(1, round(shown.height * scale))
        canvas.paste(
            shown.resize(size, PILImage.Resampling.LANCZOS), (MARGIN, (HEIGHT - size[1]) // 2)
        )
        left = MARGIN * 2 + SIDE
    columns = round((WIDTH - left - MARGIN) / 9.4)
    head = f"{episode['label'] or episode['phase']}, step {episode['step']}: turn {number + 1}"
    parts = [(head, large, SOFT)]
    if number == 0 or shown is None:
        parts.append((turn["said"], small, SOFT))
    parts.append((turn["answer"], small, INK))
    reward = "" if turn["reward"] is None else f"reward {turn['reward']:g}  "
    parts.append((f"{reward}{turn['verdict']}", large, GOOD if (turn["reward"] or 0) > 0 else BAD))
    y = MARGIN
    for text, font, colour in parts:
        for line in _lines(text, columns):
            if y > HEIGHT - MARGIN:
                return canvas
            draw.text((left, y), line, font=font, fill=colour)
            y += round(font.size * 1.35)
        y += 14
    return canvas


def _lines(text: str, columns: int) -> list[str]:
    short = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
    printable = "".join(c if c.isprintable() or c == "\n" else " " for c in short)
    return [
        line
        for paragraph in printable.split("\n")
        for line in textwrap.wrap(paragraph, columns) or [""]
    ]


def films_of_evaluation(run: Path, step: int, folder: Path) -> Iterator[tuple[str, Path]]:
    """The first episode of each split that was kept of a step's evaluation, as a GIF in `folder`."""
    begin = f"{step:06d}-evaluation-"
    for file in sorted((run / "episodes").glob(f"{begin}*.parquet")):
        source, name = read_source(file, 1), file.stem.removeprefix(begin)
        save(frames(source.episodes[0], source.pictures), folder / f"{name}.gif")
        yield name, folder / f"{name}.gif"
