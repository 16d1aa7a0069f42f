"""A row of figures to paste into a table of results, beside those of others.

    | weights | n | id | ood_rule |
    | --- | --- | --- | --- |
    | runs/NAME/step_000810 | 200 | .79 | .12 |

Success on each split, as a share. Where a world asks for an action at every step (V-IRL), each split has
two columns: the share of steps that were right, and that of whole routes.
"""

from __future__ import annotations

from typing import Any

STEP_VERDICT = "verdict/correct_action"


def markdown_row(summary: dict[str, Any]) -> str:
    """What summary.json holds as a heading, its rule and one row."""
    cells = {"weights": str(summary["weights"]), "n": str(summary["episodes"])}
    for split in summary["splits"]:
        success = summary.get(f"eval/{split}/success")
        if _by_steps(summary):
            cells[f"{split}, steps"] = share(summary.get(f"eval/{split}/{STEP_VERDICT}", 0.0))
            cells[f"{split}, routes"] = share(success)
        else:
            cells[split] = share(success)
    return "\n".join(_line(part) for part in (cells, ["---"] * len(cells), cells.values()))


def share(value: float | None) -> str:
    """As papers print it: .07, 1.00; a dash where nothing was played."""
    return "-" if value is None else f"{value:.2f}".removeprefix("0")


def _by_steps(summary: dict[str, Any]) -> bool:
    return any(key.endswith(STEP_VERDICT) for key in summary)


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"
