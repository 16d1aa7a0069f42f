"""Sheets of plain SVG, boxes with words in them and arrows, readable on light and on dark pages.

    sheet = Sheet(300, 100, "title"); sheet.box(box); sheet.said(box, [("title", "words")]); str(sheet)

Words stay words, so that a page can be searched; the same calls give the same file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

STYLE = """
  text { font: 14px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 14px }
  .small { font-size: 11.5px; fill: #59636e }
  .code { font: 11.5px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #59636e }
  .page { fill: #ffffff }
  .box { fill: #f3f6fa; stroke: #8c96a1 }
  .group { fill: none; stroke: #8c96a1; stroke-dasharray: 5 4 }
  .once { fill: #eaf3ec; stroke: #6f9c7b }
  .line { fill: none; stroke: #59636e; stroke-width: 1.5 }
  .head { fill: #59636e }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .small, .code { fill: #9da7b1 }
    .page { fill: #0d1117 }
    .box { fill: #1b222b; stroke: #59636e }
    .group { stroke: #59636e }
    .once { fill: #16261b; stroke: #4f7a5b }
    .line { stroke: #9da7b1 }
    .head { fill: #9da7b1 }
  }
"""


@dataclass(frozen=True)
class Box:
    """A rectangle at (x, y)."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def level(self) -> float:
        return self.y + self.height / 2


Point = tuple[float, float]


class Sheet:
    def __init__(self, width: float, height: float, title: str) -> None:
        self._size, self._title, self._parts = (width, height), title, list[str]()

    def box(self, box: Box, kind: str = "box") -> None:
        self._parts.append(
            f'<rect class="{kind}" x="{_n(box.x)}" y="{_n(box.y)}" width="{_n(box.width)}" '
            f'height="{_n(box.height)}" rx="6"/>'
        )

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
        named = f' class="{kind}"' if kind else ""
        self._parts.append(
            f'<text{named} x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def said(self, box: Box, lines: list[tuple[str, str]]) -> None:
        """(kind, words) one below the other, centred in a box."""
        top = box.level - LINE * len(lines) / 2
        for number, (kind, words) in enumerate(lines):
            self.text(box.middle, top + LINE * number + 13, words, kind, "middle")

    def arrow(self, *points: Point) -> None:
        (x0, y0), (x1, y1) = points[-2:]
        length = math.hypot(x1 - x0, y1 - y0)
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        foot = (x1 - 8 * dx, y1 - 8 * dy)
        corners = [
            (x1, y1),
            (foot[0] - 4 * dy, foot[1] + 4 * dx),
            (foot[0] + 4 * dy, foot[1] - 4 * dx),
        ]
        self._parts.append(f'<polyline class="line" points="{_points([*points[:-1], foot])}"/>')
        self._parts.append(f'<polygon class="head" points="{_points(corners)}"/>')

    def __str__(self) -> str:
        width, height = map(_n, self._size)
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
                f'width="{width}" height="{height}" role="img">',
                f"<title>{escape(self._title)}</title>",
                f"<style>{STYLE}</style>",
                f'<rect class="page" width="{width}" height="{height}"/>',
                *self._parts,
                "</svg>",
                "",
            ]
        )


LINE = 17
"""Height of a line of words."""


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _points(points: list[Point]) -> str:
    return " ".join(f"{_n(x)},{_n(y)}" for x, y in points)


def wrapped(text: str, width: float) -> list[str]:
    """Lines of small words that fit so many pixels, by the usual width of a letter."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) * 6.1 > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
