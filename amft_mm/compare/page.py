"""A report's parts as Markdown and as one page that needs no other file."""

from __future__ import annotations

import html
from collections.abc import Sequence

Table = tuple[list[str], list[list[str]]]
"""Heads and rows."""
Part = tuple[str, str | Table | None]
"""Words, and a table or the file name of the figure that they name."""


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
    blocks = []
    for words, table in parts:
        if isinstance(table, str):
            blocks.append(f"<figure>{figures[table][figures[table].index('<svg') :]}</figure>")
        elif words.startswith("#"):
            level = len(words) - len(words.lstrip("#"))
            blocks.append(f"<h{level}>{html.escape(words.lstrip('# '))}</h{level}>")
        elif words:
            paragraphs = html.escape(words).split("\n\n")
            blocks += [f"<p>{paragraph}</p>" for paragraph in paragraphs]
        if isinstance(table, tuple):
            heads, rows = table
            top = "".join(f"<th>{html.escape(head)}</th>" for head in heads)
            body = "".join(
                f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
                for row in rows
            )
            blocks.append(f"<div><table><tr>{top}</tr>{body}</table></div>")
    return PAGE.format(body="\n".join(blocks))


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Methods compared</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }}
div {{ overflow-x: auto; margin: .8rem 0; }}
table {{ border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }}
th, td {{ border-bottom: 1px solid #8886; padding: .25rem .6rem; text-align: left; white-space: nowrap; }}
figure {{ display: inline-block; margin: .3rem; background: white; border-radius: 6px; max-width: 100%; }}
figure svg {{ max-width: 100%; height: auto; }}
</style></head><body>
{body}
</body></html>
"""
