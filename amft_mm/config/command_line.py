"""From the words of a command line to the configuration of a command, checked.

    configuration("train", ["env=math", "train.steps=5"])   SettingError: what is wrong, and what to do

With `run=` an evaluation takes the run's environment, model and limits.

Words are Hydra's: `group=file` of configs/, `name=value`, `+name=value` for what has no default, `~name` to
leave one out; `--config-dir=FOLDER` adds a folder of one's own. With `resume=true` it is the run's own
configuration, with what the words change in it.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from amft_mm.config.begun import settings_of
from amft_mm.config.composition import composition_of, overrides_in
from amft_mm.config.fields import (
    SettingError,
    checked,
    rules_of,
    shown,
    takes_any_name,
    takes_others,
    unknown,
)
from amft_mm.config.loaded import is_of
from amft_mm.config.renamed import RENAMED
from amft_mm.config.schema import SCHEMAS
from amft_mm.runs.folder import has_begun
from envs.paths import data_folder


@dataclass(frozen=True)
class Words:
    """What was said: settings, and a folder of configurations of one's own."""

    overrides: tuple[Override, ...] = ()
    folder: Path | None = None

    @classmethod
    def of(cls, words: Sequence[str]) -> Words:
        settings, folder = [], None
        waiting = False
        for word in words:
            if waiting:
                folder, waiting = word, False
            elif word in ("--config-dir", "-cd"):
                waiting = True
            elif word.startswith("--config-dir="):
                folder = word.partition("=")[2]
            elif word.startswith("-"):
                raise SettingError(
                    f"{word}: there is no such option; there are --help, --cfg and --config-dir. Settings "
                    "are written name=value"
                )
            else:
                settings.append(word)
        if waiting:
            raise SettingError("--config-dir: name the folder, as --config-dir=FOLDER")
        if folder is not None and not Path(folder).is_dir():
            raise SettingError(f"--config-dir={folder}: there is no such folder")
        return cls(tuple(parsed(settings)), None if folder is None else Path(folder).resolve())

    def only(self, names: Container[str]) -> Words:
        """What was said of these."""
        return replace(self, overrides=tuple(o for o in self.overrides if o.key_or_group in names))


def configuration(command: str, words: Sequence[str]) -> DictConfig:
    """Everything that was resolved, with the types of the command's schema."""
    said = Words.of(words)
    overrides = said.overrides
    begun = run_to_go_on_with(overrides) if command == "train" else None
    config = composed(command, said) if begun is None else changed(begun, said)
    if command == "evaluate":
        config = of_its_run(config, overrides)
    refuse_a_model_beside_an_endpoint(config, overrides)
    if command == "train":
        config = without_slips_of_a_recipe(config, overrides)
    return checked(SCHEMAS[command], config)


def composed(command: str, said: Words) -> DictConfig:
    """From the files and words, not checked."""
    try:
        return _compose(command, said)
    except SettingError:
        refuse_unknown(command, said)
        raise


def _compose(command: str, said: Words) -> DictConfig:
    refuse_other_files(command, said)
    overrides = [_adding(command, override) for override in said.overrides]
    try:
        config = composition_of(command, overrides, said.folder)
        if "recipe" in defaults_of(command) and _loads_another(
            command, overrides, said.folder, config
        ):
            chosen = any(override.key_or_group == "recipe" for override in overrides)
            more = [] if chosen else parsed(["~recipe"])
            config = composition_of(command, [*overrides, *more], said.folder)
            config.model.sizes = None
        if command == "demos":
            config = of_a_recipe_for_demonstrations(config, overrides)
        for override in overrides:  # {} is nothing, and not what the files say
            if override.value() == {} and OmegaConf.select(config, override.key_or_group):
                OmegaConf.update(config, override.key_or_group, {}, merge=False)
        return config
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise SettingError(_first_line(error)) from None


def _loads_another(
    command: str, overrides: Sequence[Override], folder: Path | None, config: DictConfig
) -> bool:
    """Whether the words name another model than the one that their preset is of."""
    others = [o for o in overrides if o.key_or_group != "model.name" or o.is_delete()]
    if len(others) == len(overrides):
        return False
    files = composition_of(command, others, folder)
    return not is_of(files.model, str(config.model.name))


def _adding(command: str, override: Override) -> Override:
    """As it was written; what holds names of the user's own takes new ones."""
    own = takes_any_name(SCHEMAS[command], override.key_or_group)
    if not own or override.type is not OverrideType.CHANGE:
        return override
    return replace(override, type=OverrideType.FORCE_ADD, input_line=f"++{override.input_line}")


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def parsed(words: Sequence[str]) -> list[Override]:
    try:
        found = overrides_in(words)
    except HydraException as error:
        raise SettingError(f"{_first_line(error)}; settings are written name=value") from None
    for override in found:
        if override.is_sweep_override():
            raise SettingError(
                f"{override.input_line}: give one value; a list is written [1,2]. To try several: "
                "amft-mm compare"
            )
    return found


def refuse_other_files(command: str, said: Words) -> None:
    """Files of a group that are not there; an optional group would be left out without a word."""
    groups = config_groups(command, said.folder)
    for override in said.overrides:
        name, value = override.key_or_group, override.value()
        if name not in groups or override.is_delete():
            continue
        if not isinstance(value, str):
            raise SettingError(f"{override.input_line}: give one of {', '.join(groups[name])}")
        if value not in groups[name]:
            raise SettingError(_unknown(f"{name}={value}", value, groups[name]))


def refuse_unknown(command: str, said: Words) -> None:
    """Names that stand in no file; those that a word adds by + are left to the schema and the parts that they
    are for."""
    groups = config_groups(command, said.folder)
    files = _compose(command, said.only(groups))
    known = names_in(files)
    for override in said.overrides:
        name, value = override.key_or_group, override.value()
        adds = override.is_add() or override.is_force_add()
        if adds or name in groups:
            continue
        within: list[str] = []
        if isinstance(value, dict) and isinstance(OmegaConf.select(files, name), DictConfig):
            # Where files have null the schema knows what may be within.
            within = names_in(OmegaConf.create(value))
        for one in (name, *(f"{name}.{key}" for key in within)):
            if one not in known:
                others = takes_others(SCHEMAS[command], one)
                more = f" One that no file sets: +{one}=VALUE" if others else ""
                raise SettingError(_unknown(one, one, known) + more)


@cache
def defaults_of(command: str) -> Mapping[str, Any]:
    """The groups of configurations that a command has, and which file of each it takes by itself."""
    file = OmegaConf.load(str(data_folder("configs") / f"{command}.yaml"))
    listed = OmegaConf.to_container(file, resolve=False).get("defaults", [])  # type: ignore[union-attr]
    return {
        name.removeprefix("optional "): default
        for entry in listed
        if isinstance(entry, dict)
        for name, default in entry.items()
    }


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


def _set_by(group: str, choice: str, folder: Path | None) -> DictConfig:
    """What a file of a group sets elsewhere than below the group's own name."""
    places = (data_folder("configs"), *([] if folder is None else [folder]))
    files = (Path(str(place)) / group / f"{choice}.yaml" for place in places)
    return cast(DictConfig, OmegaConf.load(next(file for file in files if file.is_file())))


def names_in(config: DictConfig) -> list[str]:
    """Every name that is set, whole branches included."""
    found: list[str] = []

    def walk(part: Any, name: str) -> None:
        for key, value in part.items() if isinstance(part, dict) else ():
            found.append(f"{name}{key}")
            walk(value, f"{name}{key}.")

    walk(OmegaConf.to_container(config, resolve=False), "")
    return found


def _unknown(given: str, name: str, names: Sequence[str]) -> str:
    if name in RENAMED and RENAMED[name][0] in names:
        new, why = RENAMED[name]
        return f"{given} is called {new} now: {why}"
    return given + unknown(name, names).removeprefix(name)


def quoted(text: str) -> str:
    """Words that Hydra would read otherwise than as they stand, such as a folder's name with a = in it."""
    if re.fullmatch(r"[\w./:-]+", text):
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def written(value: Any) -> str:
    """A value as Hydra reads it again, quoted wherever words in it need that."""
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{written(part)}" for name, part in value.items()) + "}"
    return quoted(value) if isinstance(value, str) else shown(value)


def refuse_a_model_beside_an_endpoint(config: DictConfig, overrides: Sequence[Override]) -> None:
    engine = config.get("engine") or {}
    for override in overrides:
        name = str(override.key_or_group)
        if engine.get("name") == "openai" and name.partition(".")[0] in ("model", "checkpoint"):
            raise SettingError(
                f"{override.input_line}: with engine=openai the endpoint's model plays; name it by "
                "engine.model=NAME"
            )


def of_a_recipe_for_demonstrations(config: DictConfig, overrides: Sequence[Override]) -> DictConfig:
    """What a recipe says of demonstrations, so that they are those that a run of it records; what it says of
    training is left out. Slips are the expert's."""
    recipe = config.get("demos", {})
    mine, training = (rules_of(SCHEMAS[command]).keys() for command in ("demos", "train"))
    with open_dict(config):
        for name in training - mine:
            config.pop(name, None)
    said = {str(override.key_or_group) for override in overrides}
    for name in sorted(said):
        if name.partition(".")[0] in training - mine - {"recipe"}:
            raise SettingError(_unknown(name, name, names_in(config)))
    by_an_expert = config.engine is None and config.import_from is None
    for name in ("n", *(["slips"] if by_an_expert else [])):
        if name in recipe and name not in said:
            config[name] = recipe[name]
    return config


def without_slips_of_a_recipe(config: DictConfig, overrides: Sequence[Override]) -> DictConfig:
    """Demonstrations that are there already are taken as they are; only slips that the words ask for are a
    contradiction to that."""
    folder = OmegaConf.select(config, "demos.folder")
    if folder and not any(override.key_or_group == "demos.slips" for override in overrides):
        OmegaConf.update(config, "demos.slips", 0.0)
    return config


OF_A_RUN = ("env", "model", "limits", "sampling")
"""What an evaluation of a run takes from it."""


def of_its_run(config: DictConfig, overrides: Sequence[Override]) -> DictConfig:
    """An evaluation's configuration, where it is of a run: with what the run was trained on, and what the
    words change in that."""
    if config.run is None:
        return config
    begun = settings_of(Path(str(config.run)))
    with open_dict(config):
        for key in OF_A_RUN:
            config[key] = begun[key]
        for override in overrides:
            name = str(override.key_or_group)
            if name in ("env", "model"):
                raise SettingError(
                    f"{override.input_line}: an evaluation of a run takes its {name}. Leave it out, or leave "
                    f"run= out and take the weights by model.name={config.run}/model"
                )
            if name.partition(".")[0] in OF_A_RUN:
                adds = override.is_add() or override.is_force_add()
                if not adds and name not in (known := names_in(config)):
                    raise SettingError(_unknown(name, name, known))
                OmegaConf.update(config, name, override.value(), force_add=True)
    return config


# Going on with a run.


def run_to_go_on_with(overrides: Sequence[Override]) -> DictConfig | None:
    """The configuration of the run in `out`, where `resume=true` asks for it and it has begun."""
    said = {
        override.key_or_group: override.value()
        for override in overrides
        if not override.is_delete()
    }
    if said.get("resume") is not True:
        return None
    if said.get("out") is None:
        raise SettingError("resume=true: give the run's folder too, as out=FOLDER")
    run = Path(str(said["out"]))
    if has_begun(run):
        return settings_of(run)
    if said.keys() <= {"out", "resume"}:
        raise SettingError(f"resume=true out={run}: there is no run to go on with")
    return None


def changed(begun: DictConfig, said: Words) -> DictConfig:
    """A run's configuration with what the words say; settings that are newer than it as they stand in the
    files."""
    groups = config_groups("train", said.folder)
    files = _compose("train", said.only({*groups, "model.name"}))  # which says if there is a recipe
    newer = {str(key): value for key, value in files.items() if key not in groups}
    config = cast(DictConfig, OmegaConf.merge(newer, begun))
    known = names_in(config)
    with open_dict(config):
        # As in a new run: what is chosen of groups, then a recipe or machine, which set parts of those.
        for override in sorted(
            said.overrides,
            key=lambda o: (o.key_or_group not in groups, o.key_or_group not in files),
        ):
            name = override.key_or_group
            adds = override.is_add() or override.is_force_add()
            if name in files and name in groups:
                config[name] = files[name]
            elif name in groups:
                if not override.is_delete():  # what is left out left nothing in the run
                    config.merge_with(_set_by(name, str(override.value()), said.folder))
            elif override.is_delete():
                raise SettingError(
                    f"{override.input_line}: a run that is gone on with has its settings"
                )
            elif not adds and name not in known:
                raise SettingError(_unknown(name, name, known))
            else:
                OmegaConf.update(config, name, override.value(), force_add=True)
    return config
