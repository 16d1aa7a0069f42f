"""A report's parts as Markdown and as one page that needs no other file."""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib import resources

from amft_mm.runs.look import head

Table = tuple[list[str], list[list[str]]]
"""Heads and rows."""
Part = tuple[str, str | Table | None]
"""Words, and a table or the file name of the figure that they name."""
BASELINE = "baseline"
"""Where a method would be compared with itself."""
COLOURS = {"better": "good", "worse": "bad", "tie": "quiet", BASELINE: "quiet"}
"""Classes of cells by their last word."""


def markdown_of(parts: Sequence[Part]) -> str:
    blocks = []
    for words, table in parts:
        if words:
            blocks.append(words)
        if isinstance(table, tuple):
            heads, rows = table
            lines = [heads, ["---"] * len(heads), *rows]
            blocks.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(blocks) + "\n"


def page_of(parts: Sequence[Part], figures: dict[str, str]) -> str:
    """Everything that results say is escaped: they hold the ends of logs."""
    blocks, places = [], []
    for words, table in parts:
        if isinstance(table, str):
            blocks.append(f"<figure>{figures[table][figures[table].index('<svg') :]}</figure>")
        elif words.startswith("#"):
            level, title = len(words) - len(words.lstrip("#")), html.escape(words.lstrip("# "))
            blocks.append(f"<h{level} id='part-{len(blocks)}'>{title}</h{level}>")
            if level == 2:
                places.append(f"<a href='#part-{len(blocks) - 1}'>{title}</a>")
        elif words:
            blocks += [f"<p>{paragraph}</p>" for paragraph in html.escape(words).split("\n\n")]
        if isinstance(table, tuple):
            blocks.append(_table(*table))
    blocks.insert(1, f"<nav>{' '.join(places)}</nav>")
    style = resources.files("amft_mm.compare").joinpath("report.css").read_text("utf-8")
    body = "\n".join(blocks)
    return f"{head('Methods compared', style)}<body>\n{body}\n</body></html>\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{html.escape(head)}</th>" for head in heads)
    lines = [f"<tr><th>{html.escape(first)}</th>{_cells(rest)}</tr>" for first, *rest in rows]
    return f"<div class='table'><table><tr>{top}</tr>{''.join(lines)}</table></div>"


def _cells(cells: Sequence[str]) -> str:
    """What is better or worse than it is compared with is seen at a glance."""
    found = []
    for cell in cells:
        kind = COLOURS.get(cell.rpartition(", ")[2], "")
        found.append(f"<td{f' class={kind}' if kind else ''}>{html.escape(cell)}</td>")
    return "".join(found)
