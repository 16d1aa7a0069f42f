"""What Hydra makes of files and words.

    composition("train", ["env=math", "train.steps=5"])   -> a DictConfig that is the caller's alone

For Hydra to read and merge files takes far longer than to copy what comes of them, and a comparison checks
hundreds of runs of few choices of files (`env=math`). So each choice is composed once in a process, and what
words set in it (`train.steps=5`) is set in a copy. A folder of one's own, which may change, is read anew.

A loss, or another named part of a method, that words put in the place of a preset's comes with its own
defaults: what the preset sets for the one that it names goes with that one.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from envs.paths import data_folder

NAMED = ("imitation", "exploration", "balance", "guidance", "utility")
"""The parts of a method that are chosen by name."""


def composition(command: str, words: Sequence[str], folder: Path | None = None) -> DictConfig:
    """As hydra.compose, whose exceptions it raises."""
    return composition_of(command, overrides_in(words), folder)


def overrides_in(words: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(words))


def quoted(text: str) -> str:
    """Words that Hydra would read otherwise than as they stand, such as a folder's name with a = in it."""
    if re.fullmatch(r"[\w./:-]+", text, re.ASCII):
        return text
    # Elsewhere Hydra reads a backslash as it stands.
    escaped = re.sub(r"(\\+)(?='|\Z)", r"\1\1", text)
    return "'{}'".format(escaped.replace("'", "\\'"))


def composition_of(
    command: str, overrides: Sequence[Override], folder: Path | None = None
) -> DictConfig:
    """By words that are parsed already."""
    if folder is not None:
        own = f"hydra.searchpath=[{quoted(f'file://{folder}')}]"
        others = [override for override in overrides if not _is_of_a_method(override)]
        config = _composed(command, [*_words(overrides), own])
        same = len(others) == len(overrides)
        files = config if same else _composed(command, [*_words(others), own])
    else:
        chosen = [override for override in overrides if _is_of_files(override)]
        values = [override for override in overrides if not _is_of_files(override)]
        files = _of_files(command, tuple(_words(chosen)))
        config = copy.deepcopy(files)
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
    _leave_out_options_of_others(config, files, overrides)
    return config


def _leave_out_options_of_others(
    config: DictConfig, files: DictConfig, overrides: Sequence[Override]
) -> None:
    """Where words name another part than the files do, of that one's options those that words set stay."""
    said = {name for override in overrides for name in _said(override)}
    for part in NAMED:
        before, now = (OmegaConf.select(of, f"method.{part}") for of in (files, config))
        if not (isinstance(before, DictConfig) and isinstance(now, DictConfig)):
            continue  # as method.balance=fixed, which the schema refuses
        if before.get("name") == now.get("name"):
            continue
        with open_dict(now):
            for option in map(str, before):
                if option != "name" and f"method.{part}.{option}" not in said:
                    now.pop(option, None)


def _said(override: Override) -> list[str]:
    name, value = str(override.key_or_group), override.value()
    return [name, *(f"{name}.{part}" for part in value)] if isinstance(value, dict) else [name]


def _is_of_a_method(override: Override) -> bool:
    return str(override.key_or_group).startswith("method.")


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
