"""From the words of a command line to the configuration of a command, checked.

    configuration("train", ["env=math", "train.steps=5"])   SettingError: what is wrong, and what to do

With `run=` an evaluation takes the run's environment, model and limits.

Words are Hydra's: `group=file` of configs/, `name=value`, `+name=value` for what has no default, `~name` to
leave one out; `--config-dir=FOLDER` adds a folder of one's own. With `resume=true` it is the run's own
configuration, with what the words change in it.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from amft_mm.config.begun import settings_of
from amft_mm.config.choices import (
    config_groups,
    defaults_of,
    refuse_other_choices,
    set_by,
    word_for,
)
from amft_mm.config.composition import composition_of, overrides_in, quoted
from amft_mm.config.fields import (
    SettingError,
    checked,
    is_true,
    is_whole,
    rules_of,
    shown,
    takes_any_name,
    takes_others,
)
from amft_mm.config.heedless import refuse_heedless_words
from amft_mm.config.loaded import is_of
from amft_mm.config.renamed import no_such
from amft_mm.config.schema import SCHEMAS
from amft_mm.config.schema.demos import ALL
from amft_mm.config.sentences import told
from amft_mm.runs.dotted import flat
from amft_mm.runs.folder import has_begun


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

    def outside(self, sections: Container[str]) -> Words:
        """What was said of all else than these and what is in them."""
        others = (o for o in self.overrides if o.key_or_group.partition(".")[0] not in sections)
        return replace(self, overrides=tuple(others))


def configuration(command: str, words: Sequence[str]) -> DictConfig:
    """Everything that was resolved, with the types of the command's schema."""
    said = Words.of(words)
    overrides = said.overrides
    begun = run_to_go_on_with(overrides) if command == "train" else None
    if command == "evaluate" and _names_a_run(overrides):
        config = of_its_run(composed(command, said.outside(OF_A_RUN)), overrides)
    else:
        config = composed(command, said) if begun is None else changed(begun, said)
    if command == "train":
        config = without_slips_of_a_recipe(config, overrides)
    found = checked(SCHEMAS[command], config)
    refuse_heedless_words(command, found, overrides)
    return found


def composed(command: str, said: Words) -> DictConfig:
    """From the files and words, not checked."""
    try:
        return _compose(command, said)
    except SettingError:
        refuse_unknown(command, said)
        raise


def _compose(command: str, said: Words) -> DictConfig:
    refuse_other_choices(command, said.overrides, said.folder)
    overrides = [_as_hydra_has_it(command, override) for override in said.overrides]
    try:
        overrides = _without_deletions_of_nothing(command, overrides, said.folder)
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
            name, value = override.key_or_group, override.value()
            alone = isinstance(value, dict) and (not value or is_whole(SCHEMAS[command], name))
            if alone and OmegaConf.select(config, name):
                OmegaConf.update(config, name, value, merge=False)
        return config
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        raise SettingError(told(error)) from None


def _loads_another(
    command: str, overrides: Sequence[Override], folder: Path | None, config: DictConfig
) -> bool:
    """Whether the words name another model than the one that their preset is of."""
    others = [o for o in overrides if o.key_or_group != "model.name" or o.is_delete()]
    if len(others) == len(overrides):
        return False
    files = composition_of(command, others, folder)
    return not is_of(files.model, str(config.model.name))


def _as_hydra_has_it(command: str, override: Override) -> Override:
    """As it was written; but a group may be null, and what holds names of the user's own takes new ones."""
    name = override.key_or_group
    if override.value() is None and not override.is_delete() and name in defaults_of(command):
        return overrides_in([f"~{name}"])[0]
    own = takes_any_name(SCHEMAS[command], name)
    if not own or override.type is not OverrideType.CHANGE:
        return override
    return replace(override, type=OverrideType.FORCE_ADD, input_line=f"++{override.input_line}")


def _without_deletions_of_nothing(
    command: str, overrides: list[Override], folder: Path | None
) -> list[Override]:
    """To leave out what is null leaves all as it is; Hydra takes it for a name that is not there."""
    groups = defaults_of(command)
    if not any(o.is_delete() and o.key_or_group not in groups for o in overrides):
        return overrides
    kept = [o for o in overrides if not o.is_delete() or o.key_or_group in groups]
    files = composition_of(command, kept, folder)
    nothing = {name for name in names_in(files) if OmegaConf.select(files, name) is None}
    return [o for o in overrides if not o.is_delete() or o.key_or_group not in nothing]


def parsed(words: Sequence[str]) -> list[Override]:
    try:
        found = overrides_in(words)
    except HydraException as error:
        raise SettingError(f"{told(error)}; settings are written name=value") from None
    for override in found:
        if override.is_hydra_override():
            raise SettingError(
                f"{override.input_line}: settings of Hydra itself do nothing here. The folder that is "
                "written is out=FOLDER, one of settings of your own --config-dir=FOLDER"
            )
        if override.is_sweep_override():
            raise SettingError(
                f"{override.input_line}: give one value; a list is written [1,2]. To try several: "
                "amft-mm compare"
            )
    return found


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
                raise SettingError(no_such(one, one, known) + more)


def names_in(config: DictConfig) -> list[str]:
    """Every name that is set, whole branches included."""
    found: list[str] = []

    def walk(part: Any, name: str) -> None:
        for key, value in part.items() if isinstance(part, dict) else ():
            found.append(f"{name}{key}")
            walk(value, f"{name}{key}.")

    walk(OmegaConf.to_container(config, resolve=False), "")
    return found


def written(value: Any) -> str:
    """A value as Hydra reads it again, quoted wherever words in it need that."""
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{written(part)}" for name, part in value.items()) + "}"
    return quoted(value) if isinstance(value, str) else shown(value)


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
            raise SettingError(no_such(name, name, names_in(config)))
    by_an_expert = config.engine is None and config.import_from is None
    for name in ("n", *(["slips"] if by_an_expert else [])):
        if name in recipe and name not in said:
            config[name] = recipe[name]
    if config.import_from is not None and "n" not in said:
        config.n = ALL
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


def _names_a_run(overrides: Sequence[Override]) -> bool:
    named = [o for o in overrides if o.key_or_group == "run"]
    return any(not o.is_delete() and o.value() is not None for o in named)


def of_its_run(config: DictConfig, overrides: Sequence[Override]) -> DictConfig:
    """An evaluation's configuration, where it is of a run: with what the run was trained on, and what the
    words change in that."""
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
                    raise SettingError(no_such(name, name, known))
                if override.is_delete():
                    section, _, last = name.rpartition(".")
                    OmegaConf.select(config, section).pop(last)
                else:
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
    if not is_true(said.get("resume")):
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
    anew = _as_anew(begun, said, groups)
    with open_dict(config):
        for override in sorted(said.overrides, key=lambda o: o.key_or_group not in groups):
            name = override.key_or_group
            adds = override.is_add() or override.is_force_add()
            if name in files and name in groups:
                config[name] = anew[name]
            elif name in groups:
                if (choice := _choice(override)) is not None:  # none left nothing in the run
                    for part in flat(set_by(name, choice, said.folder)):
                        OmegaConf.update(config, part, OmegaConf.select(anew, part))
            elif override.is_delete():
                if name in known:
                    raise SettingError(
                        f"{override.input_line}: a run that is gone on with has its settings"
                    )
            elif not adds and name not in known:
                raise SettingError(no_such(name, name, known))
            else:
                OmegaConf.update(config, name, override.value(), force_add=True)
    return config


def _as_anew(begun: DictConfig, said: Words, groups: Collection[str]) -> DictConfig:
    """A new run by these words, and by what the one that has begun chose of the groups that they do not name:
    what chose a group beside other words then chooses the same again."""
    named = {override.key_or_group for override in said.overrides}
    if not any(name in groups for name in named):
        return begun
    words = [word_for(group, begun) for group in groups if group not in named]
    if "model.name" not in named:
        words.append(f"model.name={quoted(begun.model.name)}")
    filled = parsed([word for word in words if word is not None])
    return _compose("train", replace(said, overrides=(*filled, *said.overrides)))


def _choice(override: Override) -> str | None:
    return None if override.is_delete() or override.value() is None else str(override.value())
