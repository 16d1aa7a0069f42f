"""A report as one page that needs no other file: `page_of(parts, links)`.

Tables are sorted by a click on a head; intervals are drawn beneath what they say; a cell leads to the JSON of
the runs that it was made of, and to their replay where there is one. Everything that results say is escaped:
they hold the ends of logs, and names that users give.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import PurePosixPath
from urllib.parse import quote

from amft_mm.compare.conditions import title_of
from amft_mm.compare.drawing import Scale, bar, panels, scale_of
from amft_mm.compare.grid import WARM, is_warm_up, warm_up_name
from amft_mm.compare.parts import BASELINE, Cell, Curves, Part, Table
from amft_mm.compare.result import Result
from amft_mm.runs.look import head

COLOURS = {"better": "good", "worse": "bad", "tie": "quiet", BASELINE: "quiet"}
"""Classes of cells by their last word."""
USE = (
    "A click on a head sorts a table. Bars are intervals with their mean, on one scale a column; the line "
    "through them is 0. Small numbers are seeds, and lead to what their runs came to. Coloured cells are "
    "above (blue) or below (orange) the middle of their column, in full colour by 20 points."
)


@dataclass(frozen=True)
class Links:
    """Where the page finds what it leads to."""

    runs: str = "runs"
    replays: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    """Pages of episodes, by environment, condition and method."""

    def of(self, result: Result) -> str:
        if is_warm_up(result.condition):
            beside = PurePosixPath(self.runs).with_name(WARM)
            return quote(f"{beside}/{warm_up_name(result.env, result.condition, result.seed)}.json")
        return quote(f"{self.runs}/{result.name}.json")

    def replay_of(self, result: Result) -> str | None:
        page = self.replays.get((result.env, result.condition, result.method))
        return page and f"{quote(page)}#at=list&run={quote(result.method, safe='')}"


HERE = Links()
NONE: Mapping[str, str] = {}


def page_of(parts: Sequence[Part], links: Links = HERE, figures: Mapping[str, str] = NONE) -> str:
    """`figures` are the texts of those that parts name."""
    blocks, titles = list[str](), list[str]()
    for words, more in parts:
        if isinstance(more, str):
            if drawn := figures.get(more):
                blocks.append(_figure(words, drawn))
            continue
        if words.startswith("#"):
            level, title = len(words) - len(words.lstrip("#")), html.escape(words.lstrip("# "))
            blocks.append(f"<h{level} id='part-{len(blocks)}'>{title}</h{level}>")
            if level == 2:
                titles.append(f"<a href='#part-{len(blocks) - 1}'>{title}</a>")
        elif words:
            shown = re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(words))
            blocks += [f"<p>{paragraph}</p>" for paragraph in shown.split("\n\n")]
        if isinstance(more, tuple):
            blocks.append(_table(more, links))
        elif isinstance(more, Curves):
            blocks.append(panels(more))
    blocks.insert(1, f"<nav>{' '.join(titles)}</nav><p class='quiet'>{USE}</p>")
    body, script = "\n".join(blocks), _file("report.js")
    return (
        f"{head('Methods compared', _file('report.css'), script=script)}<body>\n{body}\n"
        f"<script>{script}</script>\n</body></html>\n"
    )


def _figure(words: str, drawn: str) -> str:
    """As a picture, whose text can do nothing in the page; what a phone cannot show at once it scrolls."""
    said = html.escape(words.removeprefix("![").partition("]")[0], quote=True)
    data = base64.b64encode(drawn.encode()).decode()
    width = re.search(r"<svg[^>]* width=\"([\d.]+)pt\"", drawn)
    least = f" style='min-width:{float(width[1]) * 0.9:.0f}px'" if width else ""
    return (
        f"<div class='table figure' tabindex='0'><img alt='{said}'{least} "
        f"src='data:image/svg+xml;base64,{data}'></div>"
    )


def _file(name: str) -> str:
    return resources.files("amft_mm.compare").joinpath(name).read_text("utf-8")


def _table(table: Table, links: Links) -> str:
    heads, rows = table
    scales = [_scale(row[column] for row in rows) for column in range(len(heads))]
    top = "".join(
        f"<th scope='col'><button type='button'>{html.escape(one)}</button></th>" for one in heads
    )
    lines = []
    for first, *rest in rows:
        cells = [_cell(c, scale, links) for c, scale in zip(rest, scales[1:], strict=True)]
        named = f"<th scope='row'>{html.escape(str(first))}{_links(first, links)}</th>"
        lines.append(f"<tr>{named}{''.join(cells)}</tr>")
    return (
        f"<div class='table' tabindex='0'><table><thead><tr>{top}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _scale(cells: Iterable[Cell | str]) -> Scale | None:
    known = [c.estimate for c in cells if isinstance(c, Cell) and c.estimate is not None]
    return scale_of(known) if known else None


def _cell(cell: Cell | str, scale: Scale | None, links: Links) -> str:
    """What is better or worse than it is compared with is seen at a glance."""
    text = html.escape(str(cell))
    kind = COLOURS.get(str(cell).rpartition(", ")[2], "")
    drawn = heat = ""
    if isinstance(cell, Cell):
        if cell.estimate is not None and scale is not None:
            drawn = bar(cell.estimate, scale, kind)
        if cell.heat is not None:
            kind = "above" if cell.heat > 0 else "below"
            heat = f" style='--heat:{abs(cell.heat):.2f}'"
    named = f" class='{kind}'" if kind else ""
    return f"<td{named}{heat}>{text}{drawn}{_links(cell, links)}</td>"


def _links(cell: Cell | str, links: Links) -> str:
    """To what each run came to, and to the episodes of one of them; a line for each method and setting."""
    if not isinstance(cell, Cell) or not cell.runs:
        return ""
    groups: dict[tuple[str, str], list[Result]] = {}
    for run in cell.runs:
        groups.setdefault((title_of(run.env, run.condition), run.method), []).append(run)
    settings, methods = ({key[place] for key in groups} for place in (0, 1))
    lines = []
    for (setting, method), runs in groups.items():
        named = [setting] * (len(settings) > 1) + [method] * (len(methods) > 1)
        found = [html.escape(word) for word in named]
        found += [_link(links.of(r), str(r.seed), r.name) for r in runs]
        if replay := links.replay_of(runs[0]):
            found.append(_link(replay, "replay", f"episodes of {method}"))
        lines.append(f"<small>{' '.join(found)}</small>")
    return "".join(lines)


def _link(address: str, text: str, title: str) -> str:
    return f"<a href='{html.escape(address)}' title='{html.escape(title)}'>{html.escape(text)}</a>"
