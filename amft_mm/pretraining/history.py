"""How a model's weights were made: the trainings that led to them, the first first.

It stands beside the weights as `made.json` and goes along when a training goes on from them, so that what
is in a model is known however often it was gone on from.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from agents.locate import locate_model
from amft_mm.pretraining.checks import stages_of

FILE = "made.json"
COMMON = ("seed", "warmup", "weight_decay", "clip")


def settings_of(config: DictConfig, stage: str) -> dict[str, Any]:
    """What a stage's weights hang on, beside those that it began from."""
    common = {name: config[name] for name in ("start", *COMMON)}
    return common | cast(dict[str, Any], OmegaConf.to_container(config[stage]))


def history(config: DictConfig) -> list[dict[str, Any]]:
    """Of the model that a finished training has made; `start` is a name, not a place on a machine."""
    own = {
        "start": None if config.start is None else Path(config.start).name,
        **{name: config[name] for name in COMMON},
        "stages": {name: OmegaConf.to_container(config[name]) for name in stages_of(config)},
    }
    return [*_read_history(config.start), own]


def write_history(folder: Path, made: list[dict[str, Any]]) -> None:
    (folder / FILE).write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


def _read_history(start: str | None) -> list[dict[str, Any]]:
    """Nothing where it was not recorded."""
    if start is None:
        return []
    path = Path(locate_model(start)) / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
