"""One annotated picture for people: what the agent saw, what it wrote, and what came of it.

`compose_frame` returns the same shape for the same `size`, so that Gymnasium's RecordVideo can
join frames to a film. Texts may come from a model: they are cut, and characters that would draw
nothing or turn the line around are left out.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont

from envs.fonts import typeface
from envs.image import Image

FRAME_SIZE = (540, 960)
"""(height, width) of a frame unless another is asked for."""

PAPER, PANEL, INK, FAINT = (246, 245, 241), (255, 255, 255), (38, 40, 46), (122, 124, 132)
GOOD, BAD, NEUTRAL = (24, 128, 66), (190, 44, 44), (84, 90, 106)
MARGIN, PADDING, HEADING, VERDICT_LINE = 16, 10, 20, 26
TEXT_SIZES, SMALL_SIZE, VERDICT_SIZE = (20, 17, 14), 11, 17
"""A panel's text is as large as lets all of it be read, else of the smallest size and cut."""
_SHARES = {"Shown": 0.56, "Agent": 0.44}
"""How the two panels of free text share the height that is left."""
_LONGEST = 3_000
Keep = Literal["start", "end"]


def compose_frame(
    image: Image | None,
    *,
    prompt: str,
    action: str = "",
    verdict: str = "",
    reward: float | None = None,
    feedback: str = "",
    size: tuple[int, int] = FRAME_SIZE,
) -> Image:
    """The picture at the left, if there is one, and at the right the texts, cut to fit."""
    height, width = size
    page = PILImage.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    left = MARGIN
    if image is not None:
        box = (MARGIN, MARGIN, width * 54 // 100, height - MARGIN)
        _place_picture(page, image, box)
        left = box[2] + MARGIN
    right = width - MARGIN
    bottom = height - MARGIN
    if verdict or reward is not None or feedback:
        bottom = _draw_outcome(draw, (left, right, bottom), verdict, reward, feedback) - MARGIN
    panels = {"Shown": prompt, "Agent": action} if action else {"Shown": prompt}
    _draw_panels(draw, (left, MARGIN, right, bottom), panels)
    return np.asarray(page).copy()


def _place_picture(page: PILImage.Image, image: Image, box: tuple[int, int, int, int]) -> None:
    """The picture as large as the box allows, in its middle; whole multiples stay sharp."""
    left, top, right, bottom = box
    picture = PILImage.fromarray(np.ascontiguousarray(image))
    scale = min((right - left) / picture.width, (bottom - top) / picture.height)
    sharp = scale >= 3
    picture = picture.resize(
        (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))),
        PILImage.Resampling.NEAREST if sharp else PILImage.Resampling.LANCZOS,
    )
    page.paste(
        picture,
        ((left + right - picture.width) // 2, (top + bottom - picture.height) // 2),
    )


def _draw_outcome(
    draw: ImageDraw.ImageDraw,
    edges: tuple[int, int, int],
    verdict: str,
    reward: float | None,
    feedback: str,
) -> int:
    """Verdict, reward and feedback at the foot; returns where they begin."""
    left, right, bottom = edges
    inner = right - left - 2 * PADDING
    size = TEXT_SIZES[-1]
    lines = wrap(feedback, typeface("DejaVuSans.ttf", size), inner, most_lines=4)
    top = bottom - 2 * PADDING - VERDICT_LINE - _line_height(size) * len(lines)
    colour = NEUTRAL if not reward else (GOOD if reward > 0 else BAD)
    draw.rounded_rectangle((left, top, right, bottom), 8, PANEL, colour, 2)
    bold = typeface("DejaVuSans-Bold.ttf", VERDICT_SIZE)
    sign = "" if reward is None else f"{reward:+.4g}"
    room = inner - bold.getlength(sign) - PADDING
    named = wrap(verdict, bold, room, most_lines=1) or [""]
    draw.text((left + PADDING, top + PADDING), named[0], colour, bold)
    draw.text((right - PADDING, top + PADDING), sign, colour, bold, anchor="ra")
    _draw_lines(draw, lines, left + PADDING, top + PADDING + VERDICT_LINE, size)
    return top


def _draw_panels(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], texts: dict[str, str]
) -> None:
    left, top, right, bottom = box
    free = bottom - top - MARGIN * (len(texts) - 1)
    whole = sum(_SHARES[name] for name in texts)
    heading = typeface("DejaVuSans-Bold.ttf", SMALL_SIZE)
    for name, text in texts.items():
        height = int(free * _SHARES[name] / whole)
        draw.rounded_rectangle((left, top, right, top + height), 8, PANEL)
        draw.text((left + PADDING, top + PADDING), name.upper(), FAINT, heading)
        # An agent that thinks aloud says what matters last; a prompt begins with the task.
        lines, size = _fit(
            text,
            width=right - left - 2 * PADDING,
            height=height - HEADING - 2 * PADDING,
            keep="end" if name == "Agent" else "start",
        )
        _draw_lines(draw, lines, left + PADDING, top + PADDING + HEADING, size)
        top += height + MARGIN


def _fit(text: str, *, width: int, height: int, keep: Keep) -> tuple[list[str], int]:
    """Lines and the size of their letters."""
    for size in TEXT_SIZES:
        font, most_lines = typeface("DejaVuSans.ttf", size), height // _line_height(size)
        lines = wrap(text, font, width, most_lines=most_lines + 1, keep=keep)
        if len(lines) <= most_lines:
            return lines, size
    return wrap(text, font, width, most_lines=most_lines, keep=keep), size


def _line_height(size: int) -> int:
    return round(size * 1.36)


def _draw_lines(draw: ImageDraw.ImageDraw, lines: list[str], x: int, y: int, size: int) -> None:
    for number, line in enumerate(lines):
        draw.text((x, y + number * _line_height(size)), line, INK, typeface("DejaVuSans.ttf", size))


def wrap(
    text: str,
    font: ImageFont.FreeTypeFont,
    width: float,
    *,
    most_lines: int,
    keep: Keep = "start",
) -> list[str]:
    """`text` as at most `most_lines` lines of `width` pixels; an ellipsis says where it was cut."""
    if most_lines <= 0:
        return []
    cut = len(text) > _LONGEST
    text = text[-_LONGEST:] if keep == "end" else text[:_LONGEST]
    lines = [
        line
        for paragraph in drawable(text).split("\n")
        for line in _wrap_paragraph(paragraph.rstrip(), font, width)
    ]
    while lines and not lines[-1]:
        lines.pop()
    if not lines or (len(lines) <= most_lines and not cut):
        return lines
    if keep == "end":
        lines = lines[-most_lines:]
        return [_shorten("… " + lines[0], font, width), *lines[1:]]
    lines = lines[:most_lines]
    return [*lines[:-1], _shorten(lines[-1], font, width - _length(" …", font)) + " …"]


def _wrap_paragraph(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    if _length(text, font) <= width:
        return [text]  # with its spaces: they may be part of a drawing
    lines, line, used = [], "", 0.0
    space = _advance(" ", font)
    for word in text.split():
        needed = _length(word, font)
        if line and used + space + needed <= width:
            line, used = f"{line} {word}", used + space + needed
            continue
        if line:
            lines.append(line)
        while (head := _shorten(word, font, width)) != word:
            lines.append(head)
            word = word[len(head) :]
        line, used = word, _length(word, font)
    return [*lines, line]


def _shorten(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """The longest start of `text` that fits, but at least one character."""
    used = 0.0
    for count, char in enumerate(text):
        used += _advance(char, font)
        if used > width and count:
            return text[:count]
    return text


def _length(text: str, font: ImageFont.FreeTypeFont) -> float:
    return sum(_advance(char, font) for char in text)


@lru_cache(maxsize=20_000)
def _advance(char: str, font: ImageFont.FreeTypeFont) -> float:
    return font.getlength(char)


def drawable(text: str) -> str:
    """Without control, format and surrogate characters; line ends and spaces stay."""
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    return "".join(c for c in text if c == "\n" or unicodedata.category(c)[0] != "C")
