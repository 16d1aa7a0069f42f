"""What a report is made of, as data: words, tables, curves. amft_mm/compare/page.py makes a page of them, and
`markdown_of(parts)` the same for who reads it on a forge.

A cell is text, or text that knows more than it says: the estimate that it tells, the runs it was made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from amft_mm.compare.result import Points, Result
from amft_mm.compare.statistics import Estimate

BASELINE = "baseline"
"""Where a method would be compared with itself."""


Runs = tuple[Result, ...]


@dataclass(frozen=True)
class Cell:
    text: str
    estimate: Estimate | None = None
    """Of a share, or of a difference of shares: drawn as a bar."""
    heat: float | None = None
    """From -1, worse than most, to 1: drawn as a colour."""
    runs: Runs = ()
    """Led to."""

    def __str__(self) -> str:
        return self.text


Table = tuple[Sequence[str], Sequence[Sequence[Cell | str]]]
"""Heads and rows."""


@dataclass(frozen=True)
class Curves:
    """A line for each seed of each method."""

    name: str
    """File name of the figure that Markdown shows."""
    title: str
    lines: Mapping[str, Mapping[int, Points]]
    always: Sequence[str] = ()
    """Methods that others are seen beside."""
    each_seed: bool = False
    """Whether a page tells seeds apart; else their mean and how far they lie from it."""


Part = tuple[str, Table | Curves | str | None]
"""Words, and a table, curves, or the file name of a figure that the words show in Markdown."""


def share(estimate: Estimate, runs: Runs = ()) -> Cell:
    return Cell(estimate.as_share(), estimate, runs=runs)


def over(found: Estimate | None, runs: Runs = ()) -> Cell | str:
    return Cell(found.as_difference(), found, runs=runs) if found else ""


def markdown_of(parts: Sequence[Part]) -> str:
    blocks = []
    for words, more in parts:
        if words:
            blocks.append(words)
        if isinstance(more, tuple):
            heads, rows = more
            lines = [heads, ["---"] * len(heads), *([str(cell) for cell in row] for row in rows)]
            blocks.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
        elif isinstance(more, Curves):
            blocks.append(f"![{more.title}](figures/{more.name})")
    return "\n\n".join(blocks) + "\n"
