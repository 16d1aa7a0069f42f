"""Wrong settings on the command line, answered with the nearest right name before anything starts.

check_overrides("train")    reads sys.argv; SystemExit with a hint where a name is not known
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf

from amft_mm.config.renamed import RENAMED
from envs.paths import data_folder


def check_overrides(config_name: str, arguments: Sequence[str] | None = None) -> None:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if any(word.startswith(("--config", "-c")) for word in given):
        return  # names from a folder of the user's own are not known here
    try:
        parsed = OverridesParser.create().parse_overrides(
            [word for word in given if not word.startswith("-")]
        )
    except HydraException as error:
        raise SystemExit(f"{str(error).splitlines()[0]}; settings are written name=value") from None
    parsed = [o for o in parsed if not (_adds(o) or o.is_delete() or o.is_sweep_override())]
    groups, chosen = config_groups(), []
    for override in parsed:
        name, value = override.key_or_group, str(override.value())
        if name in groups:
            if value not in groups[name]:
                raise SystemExit(_unknown(f"{name}={value}", value, groups[name]))
            chosen.append(f"{name}={value}")
    known = setting_names(config_name, chosen)
    for override in parsed:
        name = override.key_or_group
        if name not in known and name not in groups and not name.startswith("hydra"):
            raise SystemExit(_unknown(name, name, known))


def _adds(override: Override) -> bool:
    """By + or ++: of names that stand in no file, such as those of a method's own parts, which check them."""
    return override.is_add() or override.is_force_add()


def config_groups() -> dict[str, list[str]]:
    """The groups of configurations and what there is to choose from."""
    return {
        folder.name: sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".yaml"))
        for folder in data_folder("configs").iterdir()
        if folder.is_dir() and not folder.name.startswith("_")
    }


def setting_names(config_name: str, groups: Sequence[str]) -> list[str]:
    """Every name that can be set, whole branches included."""
    with initialize_config_dir(str(data_folder("configs")), version_base="1.3"):
        config = OmegaConf.to_container(compose(config_name, list(groups)), resolve=False)
    found: list[str] = []

    def walk(part: Any, name: str) -> None:
        for key, value in part.items() if isinstance(part, dict) else ():
            found.append(f"{name}{key}")
            walk(value, f"{name}{key}.")

    walk(config, "")
    return found


def _unknown(given: str, name: str, names: Sequence[str]) -> str:
    if name in RENAMED and RENAMED[name][0] in names:
        new, why = RENAMED[name]
        return f"{given} is called {new} now: {why}"
    near = get_close_matches(name, names, 3, 0.6)
    last = name.rsplit(".", 1)[-1]
    near += [n for n in names if n.rsplit(".", 1)[-1] == last and n not in near]
    if near:
        return f"{given}: there is no such setting. Did you mean {' or '.join(near[:3])}?"
    return f"{given}: there is no such setting. There are: {', '.join(names)}."
