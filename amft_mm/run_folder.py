"""The folder that a run writes, and nothing outside it.

    config.yaml     everything that was resolved
    metrics.jsonl   one JSON object a step
    summary.json    the last evaluation

A folder that already holds a run is never written over.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf


class RunFolder:
    """Creates the folder and writes into it; every line is on disk when the call returns."""

    def __init__(self, path: Path, config: DictConfig) -> None:
        if (path / "config.yaml").exists():
            raise FileExistsError(
                f"{path} already holds a run: choose another folder by out=FOLDER."
            )
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        OmegaConf.save(config, path / "config.yaml", resolve=True)

    def log(self, metrics: dict[str, Any]) -> None:
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(metrics, allow_nan=False) + "\n")

    def summarise(self, summary: dict[str, Any]) -> None:
        text = json.dumps(summary, indent=2, allow_nan=False)
        (self.path / "summary.json").write_text(text + "\n", encoding="utf-8")


def default_path(env: str, method: str, seed: int) -> Path:
    return Path("runs") / f"{env}-{method}-{seed}-{time.strftime('%Y%m%d-%H%M%S')}"
