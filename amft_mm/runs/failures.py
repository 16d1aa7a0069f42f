"""Episodes that fail for a technical reason: the first of each kind is kept, and too many end the run.

    failures = Failures(folder, share=0.5, steps=3)
    failures.tell(step, row, errors)      WorldsFail after `steps` steps in a row with more than that share

`failures.jsonl` in the run's folder holds a JSON object for the first of each kind and message, with where it
was, its traceback and the step; a run that goes on adds those of which there is none yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from amft_mm.runs.metrics import objects_in

FAILURES = "failures.jsonl"
MOST_KEPT = 20


class WorldsFail(RuntimeError):
    """Too many episodes fail for a run to go on."""


class Failures:
    def __init__(self, folder: Path, *, share: float, steps: int, writes: bool = True) -> None:
        self._path, self._share, self._steps, self._writes = folder / FAILURES, share, steps, writes
        self._seen = {_key(error) for error in objects_in(self._path)} if writes else set()
        self._in_a_row = 0

    def tell(self, step: int, row: Mapping[str, Any], errors: Sequence[Mapping[str, Any]]) -> None:
        """Of a step's rollouts, those of all processes."""
        for error in errors:
            self._keep(step, error)
        share = failed_share(row)
        self._in_a_row = self._in_a_row + 1 if share > self._share else 0
        if self._in_a_row >= self._steps:
            first = errors[0]
            raise WorldsFail(
                f"step {step}: {told(row)}, for {self._in_a_row} steps in a row (play.failing="
                f"{self._share:g}, play.failing_steps={self._steps}). The last began with "
                f"{first.get('kind')}: {first.get('message')}; {self._path} has tracebacks"
            )

    def _keep(self, step: int, error: Mapping[str, Any]) -> None:
        key = _key(error)
        if not self._writes or key in self._seen or len(self._seen) >= MOST_KEPT:
            return
        self._seen.add(key)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"step": step, **error}) + "\n")


def _key(error: Mapping[str, Any]) -> tuple[str, str]:
    return str(error.get("kind")), str(error.get("message"))


PREFIX = "rollout/failure/"


def failed_share(row: Mapping[str, Any]) -> float:
    """Of the tries of a step's episodes."""
    failed = sum(value for key, value in row.items() if key.startswith(PREFIX))
    return float(failed / row["rollout/tries"]) if row.get("rollout/tries") else 0.0


def told(row: Mapping[str, Any]) -> str:
    """In words, as `5 of 16 tries failed (4 exception, 1 hang)`; nothing where none did."""
    kinds = {key.removeprefix(PREFIX): int(v) for key, v in row.items() if key.startswith(PREFIX)}
    if not kinds or "rollout/tries" not in row:
        return ""
    each = ", ".join(
        f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda k: -k[1])
    )
    return f"{sum(kinds.values())} of {int(row['rollout/tries'])} tries failed ({each})"
