"""One episode as pictures for slides: `frames(episode, pictures)`, the task and then one a turn, and how to
save them.

save(images, path)    .gif by Pillow, .mp4 by the program ffmpeg, a folder for single PNG files
"""

from __future__ import annotations

import io
import math
import shutil
import subprocess
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image as PILImage
from PIL import ImageDraw

from agents.columns import decoded
from amft_mm.replay.reader import read_source
from envs.fonts import typeface
from envs.image import side_by_side

WIDTH, HEIGHT, SIDE, SIDE_WITH_MAP, MARGIN = 1200, 560, 480, 280, 24
LARGE, SMALL = 24, 19
"""Of letters."""
GAP = 12
END = HEIGHT - 3 * MARGIN
"""The last line begins above it."""
Colour = tuple[int, int, int]
Point = tuple[float, float]
PAPER, INK, SOFT, FAINT = (255, 255, 255), (30, 30, 36), (105, 105, 115), (165, 165, 175)
GOOD, BAD, GOAL = (0, 114, 178), (200, 85, 0), (0, 158, 115)
SECONDS_A_TURN = 2.0
LONGEST = 600
"""Characters of a text that a frame shows."""
LONGEST_OUTCOME = 90
MOST_LINES = 9
"""Of instructions."""


def frames(episode: Mapping[str, Any], pictures: Mapping[str, bytes]) -> list[PILImage.Image]:
    """A picture stays in sight until the next one."""
    if not episode["turns"]:
        raise ValueError(
            f"{_title(episode)}: this episode has no turn, and there is nothing to be shown of it. Take "
            "another one by --episode"
        )
    shown: PILImage.Image | None = None
    found = []
    for number, turn in enumerate(episode["turns"]):
        seen = side_by_side([decoded(pictures[key]) for key in turn["pictures"]])
        if seen is not None:
            shown = PILImage.fromarray(seen)
        if number == 0:
            found.append(_opening(episode, shown))
        found.append(_frame(episode, number, shown))
    return found


def save(images: Sequence[PILImage.Image], path: Path) -> None:
    if path.suffix == ".gif":
        milliseconds = round(1000 * SECONDS_A_TURN)
        first, *rest = images
        shown = [2 * milliseconds, *[milliseconds] * (len(rest) - 1), 2 * milliseconds][
            : len(images)
        ]
        first.save(path, save_all=True, append_images=rest, duration=shown, loop=0)
    elif path.suffix == ".mp4":
        _film(images, path)
    else:
        path.mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images):
            image.save(path / f"turn-{number:03d}.png")


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


def _opening(episode: Mapping[str, Any], shown: PILImage.Image | None) -> PILImage.Image:
    """What is to be done."""
    sheet = Sheet(shown, episode["sketch"], episode["turns"], 0)
    sheet.write(_title(episode), LARGE, INK)
    sheet.write("The task", SMALL, SOFT)
    first = episode["turns"][0]
    listed = _instructions(first)
    sheet.write("\n".join(listed) if listed else first["said"], SMALL, INK)
    return sheet.canvas


def _frame(episode: Mapping[str, Any], number: int, shown: PILImage.Image | None) -> PILImage.Image:
    turns = episode["turns"]
    turn, last = turns[number], number + 1 == len(turns)
    sheet, came_of_it = Sheet(shown, episode["sketch"], turns, number), _outcome(episode, number)
    sheet.keep_room_for([text for text, _ in came_of_it])
    sheet.write(f"{_title(episode)}: turn {number + 1} of {len(turns)}", LARGE, SOFT)
    listed, now = _instructions(turn), (turn["facts"] or {}).get("instruction_index")
    for place, line in enumerate(listed):
        sheet.write(line, SMALL, INK if place == now else FAINT, gap=0)
    sheet.skip()
    sheet.write("" if listed or (number == 0 and last) else turn["said"], SMALL, SOFT)
    sheet.write(f"> {turn['answer']}", SMALL, INK)
    if turn["expert"] and turn["expert"] != turn["answer"]:
        sheet.write(f"An expert: {turn['expert']}", SMALL, SOFT)
    sheet.keep_room_for([])
    for text, colour in came_of_it:
        sheet.write(text, LARGE, colour)
    sheet.rewards([t["reward"] or 0 for t in turns], number)
    return sheet.canvas


def _outcome(episode: Mapping[str, Any], number: int) -> list[tuple[str, Colour]]:
    """What came of a turn, and after the last one of the whole; a line or two each."""
    turn = episode["turns"][number]
    reward = "" if turn["reward"] is None else f"reward {turn['reward']:g}"
    words = ", ".join(word for word in (reward, turn["verdict"]) if word)
    found = [(words, GOOD if (turn["reward"] or 0) > 0 else BAD)]
    if number + 1 == len(episode["turns"]):
        end = "success" if episode["success"] else f"failure: {episode['stop']}"
        found.append((end, GOOD if episode["success"] else BAD))
    return [(_cut(" ".join(text.split()), LONGEST_OUTCOME), colour) for text, colour in found]


def _title(episode: Mapping[str, Any]) -> str:
    step = f", step {episode['step']}" if episode["step"] else ""
    return f"{episode['env'].removeprefix('amft/')}, {episode['label'] or episode['phase']}{step}"


def _instructions(turn: Mapping[str, Any]) -> list[str]:
    """The steps of a route, where the world has told them."""
    listed = (turn["facts"] or {}).get("instructions")
    known = listed if isinstance(listed, list) else []
    return [f"{number}. {line}" for number, line in enumerate(known[:MOST_LINES], 1)]


class Sheet:
    """A frame: picture and map on the left, lines of text from the top on the right, rewards below them."""

    def __init__(
        self,
        shown: PILImage.Image | None,
        sketch: Mapping[str, Any],
        turns: Sequence[Mapping[str, Any]],
        number: int,
    ) -> None:
        self.canvas = PILImage.new("RGB", (WIDTH, HEIGHT), PAPER)
        self._draw = ImageDraw.Draw(self.canvas)
        self._left, self._y, self._end = MARGIN, MARGIN, END
        places = [_place((turn["facts"] or {}).get("position")) for turn in turns]
        way = [known for known in map(_place, _listed(sketch.get("way"))) if known]
        if shown is not None:
            side = SIDE_WITH_MAP if way else SIDE
            scale = side / max(shown.size)
            size = max(1, round(shown.width * scale)), max(1, round(shown.height * scale))
            top = MARGIN if way else (HEIGHT - size[1]) // 2
            self.canvas.paste(shown.resize(size, PILImage.Resampling.LANCZOS), (MARGIN, top))
            self._left = MARGIN * 2 + side
        if way:
            top = MARGIN * 2 + SIDE_WITH_MAP if shown is not None else MARGIN
            self._map(way, [p for p in places[: number + 1] if p], (MARGIN, top))
            self._left = MARGIN * 2 + SIDE_WITH_MAP

    def write(self, text: str, size: int, colour: Colour, gap: int = GAP) -> None:
        font = typeface("DejaVuSans.ttf", size)
        for line in self._wrapped(text, size):
            if self._y > self._end:
                return
            self._draw.text((self._left, self._y), line, font=font, fill=colour)
            self._y += _height(size)
        self._y += gap if text else 0

    def keep_room_for(self, texts: Sequence[str]) -> None:
        """For large letters below what is written next, however long that is."""
        lines = [self._wrapped(text, LARGE) for text in texts]
        self._end = END - sum(len(own) * _height(LARGE) + GAP for own in lines if own)

    def skip(self) -> None:
        self._y += GAP

    def _wrapped(self, text: str, size: int) -> list[str]:
        columns = round((WIDTH - self._left - MARGIN) / (size * 0.59))
        return _lines(text, columns) if text else []

    def rewards(self, rewards: Sequence[float], number: int) -> None:
        """A block a turn; those to come are empty."""
        width = min(28, (WIDTH - self._left - MARGIN) // max(1, len(rewards)))
        for place, reward in enumerate(rewards):
            x, y = self._left + place * width, HEIGHT - MARGIN - 12
            colour = GOOD if reward > 0 else BAD if reward < 0 else FAINT
            fill = colour if place <= number else None
            self._draw.rectangle((x, y, x + max(1, width - 4), y + 12), fill, FAINT)

    def _map(self, way: list[Point], gone: list[Point], corner: tuple[int, int]) -> None:
        """The way to go, and how much of it is gone."""
        known, side = [*way, *gone], HEIGHT - corner[1] - MARGIN
        wide = math.cos(math.radians(known[0][0]))
        flat = [(lng * wide, -lat) for lat, lng in known]
        x0, y0 = (min(p[k] for p in flat) for k in (0, 1))
        span = max(max(p[k] for p in flat) - low for k, low in ((0, x0), (1, y0))) or 1.0
        scale = (side - 40) / span
        dots = [
            (corner[0] + 20 + (x - x0) * scale, corner[1] + 20 + (y - y0) * scale) for x, y in flat
        ]
        to_go, walked = dots[: len(way)], dots[len(way) :]
        self._draw.rectangle((*corner, corner[0] + side, corner[1] + side), None, FAINT)
        self._draw.line(to_go, FAINT, 8, joint="curve")
        self._draw.line(walked, BAD, 4)
        for (x, y), colour, radius in (
            (to_go[0], GOOD, 5),
            (to_go[-1], GOAL, 8),
            *((dot, BAD, 8) for dot in walked[-1:]),
        ):
            box = (x - radius, y - radius, x + radius, y + radius)
            self._draw.ellipse(box, fill=colour, outline=PAPER, width=2)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _place(value: Any) -> Point | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    known = all(isinstance(v, int | float) and math.isfinite(v) for v in value)
    return (float(value[0]), float(value[1])) if known else None


def _height(size: int) -> int:
    """Of a line."""
    return round(size * 1.35)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]} ..."


def _lines(text: str, columns: int) -> list[str]:
    short = _cut(text, LONGEST)
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
