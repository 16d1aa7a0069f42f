"""A row of figures to paste into a table of results, beside those of others.

    | weights | n | id | ood_rule |
    | --- | --- | --- | --- |
    | runs/NAME/step_000810 | 200 | .79 | .12 |

Success on each split, as a share. Where a world judges every step of a route (V-IRL's rail), a split has two
columns: the share of steps that were right, and that of whole routes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from envs.virl.rail import RailVerdict


def markdown_row(summary: dict[str, Any]) -> str:
    """What summary.json holds as a heading, its rule and one row."""
    cells = {"weights": str(summary["weights"]), "n": str(summary["episodes"])}
    for split in summary["splits"]:
        success = share(summary.get(f"eval/{split}/success"))
        steps = {v: summary.get(f"eval/{split}/verdict/{v}") for v in RailVerdict}
        if any(part is not None for part in steps.values()):
            cells[f"{split}, steps"] = share(steps[RailVerdict.CORRECT_ACTION] or 0.0)
            cells[f"{split}, routes"] = success
        else:
            cells[split] = success
    return "\n".join(_line(part) for part in (cells, ["---"] * len(cells), cells.values()))


def share(value: float | None) -> str:
    """As papers print it: .07, 1.00; a dash where nothing was played."""
    return "-" if value is None else f"{value:.2f}".removeprefix("0")


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
