"""What a run was begun with, as plain values: `settings_of(run)`, for commands that take a run's folder; and
what it goes on with where it began before there was a setting: `defaults()`.

The folder may be anybody's. A run writes every value resolved, so one that refers to something else, such as
${oc.env:KEY}, is not a run's: it is refused, and what it refers to is not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from amft_mm.runs.dotted import flat
from amft_mm.runs.folder import CONFIG, read_config
from envs.paths import data_folder


def settings_of(run: Path) -> DictConfig:
    config = read_config(run)
    if (found := _reference(OmegaConf.to_container(config, resolve=False))) is not None:
        raise ValueError(
            f"{run / CONFIG} holds {found!r:.100}, a value from elsewhere, and a run writes its settings "
            "themselves: take it out of the file if you trust the rest"
        )
    return config


def defaults() -> dict[str, Any]:
    """By dotted names: of every setting that a run has whatever its world, model and method are."""
    file = cast(DictConfig, OmegaConf.load(str(data_folder("configs") / "train.yaml")))
    del file["defaults"]
    return flat(file)


def _reference(value: Any) -> str | None:
    """The first text in it that stands for something else."""
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return next((text for text in map(_reference, parts) if text is not None), None)
    return value if isinstance(value, str) and "${" in value else None
