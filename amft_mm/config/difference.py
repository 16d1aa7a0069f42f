"""The words of a command line that make a configuration: what it is besides what the files say.

    words_of("train", config)      ["env=math", "method=grpo", "train.steps=20"]

`configuration("train", words)` then gives `config` again. A group is chosen by the name that its file has; a
part of a method that has another name than there is named before the rest is compared.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from amft_mm.config.command_line import Words, composed, config_groups, written
from amft_mm.config.composition import NAMED
from amft_mm.runs.dotted import WHERE, flat, without
from envs.paths import data_folder


def words_of(command: str, config: DictConfig) -> list[str]:
    groups = [word for name in config_groups() if (word := _chosen(name, config))]
    own = without(flat(config), WHERE)
    files = flat(composed(command, Words.of(groups)))
    names = [
        _word(name, own[name], True)
        for part in NAMED
        if (name := f"method.{part}.name") in own and files.get(name) != own[name]
    ]
    named = flat(composed(command, Words.of([*groups, *names])))
    return [
        *groups,
        *names,
        *(_word(k, v, k in files or k in named) for k, v in own.items() if named.get(k) != v),
    ]


def _chosen(group: str, config: DictConfig) -> str | None:
    """`env=math`, where a file of the group has the name that the configuration has."""
    part = config.get(group)
    name = part.get("name") if OmegaConf.is_dict(part) else None
    if name is None:
        return None
    folder = data_folder("configs") / group
    files = sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".yaml"))
    files.sort(key=lambda file: file != name)  # where it is, as a rule
    return next((f"{group}={file}" for file in files if _name_in(group, file) == name), None)


@cache
def _name_in(group: str, file: str) -> str:
    text = (data_folder("configs") / group / f"{file}.yaml").read_text(encoding="utf-8")
    return str(yaml.safe_load(text).get("name", file))


def _word(key: str, value: Any, known: bool) -> str:
    return f"{'' if known else '+'}{key}={written(value)}"
