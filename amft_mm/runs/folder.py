"""The folder that a run writes, and nothing outside it.

    config.yaml     everything that was resolved
    metrics.jsonl   one JSON object a step, and one an evaluation
    checkpoints/    step_000050/, ...
    summary.json    the last evaluation
    instances.json  how each of its task instances fared, by split

A folder that already holds a run is never written over: `resume` goes on with it, anything else is an
error.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.files import write_text
from amft_mm.runs.metrics import METRICS, read_rows
from amft_mm.runs.processes import ProcessGroup

MAY_DIFFER = ("resume", "out", "debug", "threads", "wandb", "progress", "demos.folder")
"""Settings that do not change what a run computes."""


class RunFolder:
    """Creates the folder and writes into it; every line is on disk when the call returns."""

    def __init__(
        self,
        path: Path,
        config: DictConfig,
        *,
        resume: bool = False,
        processes: ProcessGroup | None = None,
    ) -> None:
        self.path = path
        there = (path / "config.yaml").exists()
        if there and not resume:
            raise FileExistsError(
                f"{path} already holds a run: go on with it by resume=true, or choose another folder "
                "by out=FOLDER."
            )
        if processes is not None:
            processes.wait()  # all have looked before anyone writes
        if there:
            self._same_run(config)
        elif processes is None or processes.main:
            try:
                path.mkdir(parents=True, exist_ok=True)
                OmegaConf.save(config, path / "config.yaml", resolve=True)
            except OSError as error:
                raise RuntimeError(
                    f"{path} cannot be written ({error.strerror}): choose another folder by out=FOLDER"
                ) from error

    def log(self, metrics: dict[str, Any]) -> None:
        """Figures that are no numbers are written as null: the file stays JSON."""
        row = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in metrics.items()
        }
        with (self.path / METRICS).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row, allow_nan=False) + "\n")

    def forget_after(self, step: int) -> None:
        """Rows of steps after the checkpoint will be made again."""
        kept = [row for row in read_rows(self.path) if row["step"] <= step]
        lines = "".join(json.dumps(row) + "\n" for row in kept)
        write_text(self.path / METRICS, lines)

    def summarise(self, summary: dict[str, Any], instances: dict[str, Any]) -> None:
        write_evaluation(self.path, summary, instances)

    def summary(self) -> dict[str, Any]:
        path = self.path / "summary.json"
        found: dict[str, Any] = (
            json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        )
        return found

    def _same_run(self, config: DictConfig) -> None:
        before, now = _compared(OmegaConf.load(self.path / "config.yaml")), _compared(config)
        changed = sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k))
        if changed:
            raise FileExistsError(
                f"{self.path} was begun with other settings ({', '.join(changed)} differ): give "
                "those it was begun with, or choose another folder by out=FOLDER."
            )


def write_evaluation(folder: Path, summary: dict[str, Any], instances: dict[str, Any]) -> None:
    write_text(folder / "instances.json", json.dumps(instances) + "\n")
    write_text(folder / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")


def _compared(config: Any) -> dict[str, Any]:
    """Settings by their dotted names, without those that may differ."""
    flat: dict[str, Any] = {}

    def flatten(part: Any, name: str) -> None:
        if isinstance(part, dict) and part:
            for key, value in part.items():
                flatten(value, f"{name}.{key}" if name else str(key))
        else:
            flat[name] = part

    flatten(OmegaConf.to_container(config, resolve=True), "")
    return {
        k: v for k, v in flat.items() if not f"{k}.".startswith(tuple(f"{m}." for m in MAY_DIFFER))
    }


def default_path(env: str, method: str, seed: int) -> Path:
    return Path("runs") / f"{env}-{method}-{seed}-{time.strftime('%Y%m%d-%H%M%S')}"
