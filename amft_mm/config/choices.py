"""Groups of configurations: `env=math` is configs/env/math.yaml, or one of `--config-dir=FOLDER`.

config_groups("train")["env"]                 names that there are to choose from
refuse_other_choices("train", overrides, folder)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from amft_mm.config.fields import SettingError
from amft_mm.config.renamed import no_such
from amft_mm.config.sentences import told
from envs.paths import data_folder

OPTIONAL = "optional "


@cache
def _listed(command: str) -> Mapping[str, Any]:
    file = OmegaConf.load(str(data_folder("configs") / f"{command}.yaml"))
    listed = OmegaConf.to_container(file, resolve=False).get("defaults", [])  # type: ignore[union-attr]
    return {
        name: default
        for entry in listed
        if isinstance(entry, dict)
        for name, default in entry.items()
    }


def defaults_of(command: str) -> Mapping[str, Any]:
    """The groups of configurations that a command has, and which file of each it takes by itself."""
    return {name.removeprefix(OPTIONAL): default for name, default in _listed(command).items()}


def may_be_none(command: str, group: str) -> bool:
    listed = _listed(command)
    return f"{OPTIONAL}{group}" in listed or listed[group] is None


def config_groups(command: str = "train", folder: Path | None = None) -> dict[str, list[str]]:
    """The groups of configurations that a command has, and what there is to choose from."""
    found = {}
    for name in defaults_of(command):
        place = data_folder("configs") / name
        choices = {f.name[:-5] for f in place.iterdir() if f.name.endswith(".yaml")}
        if folder is not None and (folder / name).is_dir():
            choices |= {f.stem for f in (folder / name).glob("*.yaml")}
        found[name] = sorted(choices)
    return found


def word_for(group: str, config: DictConfig) -> str | None:
    """`env=math`, where a file of the group has the name that the configuration has."""
    part = config.get(group)
    name = part.get("name") if OmegaConf.is_dict(part) else None
    if name is None:
        return None
    files = sorted(config_groups()[group], key=lambda file: file != name)  # where it is, as a rule
    return next((f"{group}={file}" for file in files if _name_in(group, file) == name), None)


@cache
def _name_in(group: str, file: str) -> str:
    text = (data_folder("configs") / group / f"{file}.yaml").read_text(encoding="utf-8")
    return str(yaml.safe_load(text).get("name", file))


def set_by(group: str, choice: str, folder: Path | None) -> DictConfig:
    """What a file of a group sets elsewhere than below the group's own name."""
    places = (data_folder("configs"), *([] if folder is None else [folder]))
    files = (Path(str(place)) / group / f"{choice}.yaml" for place in places)
    return cast(DictConfig, OmegaConf.load(next(file for file in files if file.is_file())))


def refuse_other_choices(command: str, overrides: Sequence[Override], folder: Path | None) -> None:
    """Files of a group that are not there, which Hydra leaves out without a word where the group is optional;
    and files of one's own that it does not take, or that are none."""
    groups = config_groups(command, folder)
    said = {o.key_or_group: o for o in overrides if o.key_or_group in groups}
    for name, override in said.items():
        _refuse_another(command, name, override, groups[name])
    if folder is not None:
        chosen = {**defaults_of(command), **{name: o.value() for name, o in said.items()}}
        for name, choice in chosen.items():
            # A default may be made of other choices, as ${model}_${env}.
            filled = re.sub(r"\$\{(\w+)\}", lambda of: str(chosen.get(of[1])), str(choice))
            if (own := folder / name / f"{filled}.yaml").is_file():
                _refuse_as_ones_own(own, name, filled)


def _refuse_another(command: str, name: str, override: Override, choices: Sequence[str]) -> None:
    value, written = override.value(), override.input_line
    none = may_be_none(command, name)
    if none and (override.is_delete() or value is None):
        return
    if override.is_delete() or not isinstance(value, str):
        more = f", or ~{name} for none" if none else ""
        raise SettingError(f"{written}: give one of {', '.join(choices)}{more}")
    if value in choices:
        return
    presets = f"{name}= takes one of {', '.join(choices)}"
    if name == "model" and ("/" in value or Path(value).exists()):
        raise SettingError(
            f"{written}: {presets}. A folder or a model of the hub is named beside the one that it is most "
            f"like, by model.name={value}"
        )
    if name == "env" and ":" in value:
        raise SettingError(f"{written}: {presets}. One of your own is env=own env.id={value}")
    raise SettingError(no_such(f"{name}={value}", value, choices))


def _refuse_as_ones_own(file: Path, group: str, choice: str) -> None:
    if (data_folder("configs") / group / f"{choice}.yaml").is_file():
        raise SettingError(
            f"{file}: {group}={choice} is the suite's own file, whatever yours of that name says: give yours "
            "another name"
        )
    try:
        holds_settings = isinstance(OmegaConf.load(file), DictConfig)
    except yaml.YAMLError as error:
        raise SettingError(told(error)) from None
    except UnicodeDecodeError as error:
        raise SettingError(f"{file} is no text: {error}") from None
    if not holds_settings:
        raise SettingError(f"{file} holds a list: give settings by their names, as NAME: VALUE")
