"""`read_rows(folder)`: the rows of a run's metrics.jsonl, one a step or evaluation.

Whole lines alone: the last one may be on its way, or have been cut short by a kill, and others have been
spoilt. What is no number is None, an infinite one too. A folder without the file has none. What the figures
are is made elsewhere: of a step in amft_mm/training/step.py, of episodes in `summary` of agents/rollout.py,
of evaluations in amft_mm/evaluation/evaluator.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

METRICS = "metrics.jsonl"
EVALUATION, QUICK = "evaluation", "quick"
"""Phases of rows that are of no step: all that was asked for, and a few episodes while it warms up."""


def is_step(row: Mapping[str, Any]) -> bool:
    return row.get("phase") not in (EVALUATION, QUICK)


def weights_of(row: Mapping[str, Any]) -> int | None:
    """After which step they were what they are: a run that is validated tells of its best ones at its end."""
    known = row.get("weights")  # a text in the summary of an evaluation
    return known if isinstance(known, int) else row.get("step")


DIGITS = 300
"""Of a whole number, at most: one of more is no float."""


def plain_json(text: str) -> Any:
    """What JSON of others says; None for what is no finite number. ValueError where it is none."""
    try:
        return json.loads(
            text,
            parse_constant=lambda _: None,
            parse_float=_finite,
            parse_int=lambda digits: int(digits) if len(digits) <= DIGITS else None,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def read_rows(folder: Path) -> list[dict[str, Any]]:
    return [row for row in objects_in(folder / METRICS) if isinstance(row.get("step"), int)]


def objects_in(path: Path) -> Iterator[dict[str, Any]]:
    """Of a file with one a line; lines that are none, as a kill leaves them, count for nothing."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in text.splitlines():
        try:
            row = plain_json(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row
