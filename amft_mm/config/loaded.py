"""Whether the model that is loaded is the one that a preset is of.

`model=tiny model.name=FOLDER` takes how to load and play from the preset; what was tried with its model, the
recipe, and the sizes that a dry run goes by are the other model's no more.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.locate import IN_THE_BOX
from envs.paths import asset

SIZES = ("hidden_size", "num_hidden_layers", "vocab_size")


def is_of(preset: DictConfig, name: str) -> bool:
    """A folder is compared by its sizes, since a download has a name of its own; others by their names."""
    if name == preset.name or {name, str(preset.name)} <= set(IN_THE_BOX):
        return True
    path = Path(name).expanduser() / "config.json"
    return path.is_file() and _sizes(_read(path)) == _sizes(_of_preset(preset))


def _of_preset(preset: DictConfig) -> Any:
    if preset.get("sizes"):
        return OmegaConf.to_container(preset.sizes)
    return _read(asset("tiny-vlm") / "config.json") if preset.name in IN_THE_BOX else {}


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # whoever loads it tells what is wrong


def _sizes(config: Any) -> list[Any]:
    text = config.get("text_config") or config if isinstance(config, dict) else {}
    return [text.get(name) for name in SIZES]
