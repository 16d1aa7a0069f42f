"""What Hydra makes of files and words.

    composition("train", ["env=math", "train.steps=5"])   -> a DictConfig that is the caller's alone

For Hydra to read and merge files takes far longer than to copy what comes of them, and a comparison checks
hundreds of runs of few choices of files (`env=math`). So each choice is composed once in a process, and what
words set in it (`train.steps=5`) is set in a copy. A folder of one's own, which may change, is read anew.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from envs.paths import data_folder


def composition(command: str, words: Sequence[str], folder: Path | None = None) -> DictConfig:
    """As hydra.compose, whose exceptions it raises."""
    return composition_of(command, overrides_in(words), folder)


def overrides_in(words: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(words))


def composition_of(
    command: str, overrides: Sequence[Override], folder: Path | None = None
) -> DictConfig:
    """By words that are parsed already."""
    if folder is not None:
        return _composed(command, [*_words(overrides), f"hydra.searchpath=['file://{folder}']"])
    files = [override for override in overrides if _is_of_files(override)]
    values = [override for override in overrides if not _is_of_files(override)]
    config = copy.deepcopy(_of_files(command, tuple(_words(files))))
    ConfigLoaderImpl._apply_overrides_to_config(values, config)
    return config


def _words(overrides: Sequence[Override]) -> list[str]:
    return [str(override.input_line) for override in overrides]


def _is_of_files(override: Override) -> bool:
    name = override.key_or_group
    if override.package is not None or override.is_hydra_override():
        return True
    return (data_folder("configs") / name).is_dir()


@lru_cache(maxsize=256)
def _of_files(command: str, words: tuple[str, ...]) -> DictConfig:
    return _composed(command, words)


def _composed(command: str, words: Sequence[str]) -> DictConfig:
    with initialize_config_dir(str(data_folder("configs")), version_base="1.3"):
        return compose(command, list(words))
