"""What a setting may be, and what is wrong with one that is given.

    @dataclass
    class Play:
        slots: int = setting("episodes at once in a process", least=1)
        kind: str = setting("what they run in", among=("threads", "processes"))

    checked(Play, {"slots": 0, "kind": "threads"})   SettingError: slots=0: give a whole number from 1 (...)

A schema is a dataclass, as Hydra's structured configurations are: OmegaConf checks and converts its types.
Beside its type a field says its range and a sentence; `--help` is made of the same fields. A field may be a
section (another schema), which is closed: names that it does not have are refused, but for `others=True`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import MISSING as NOT_GIVEN
from omegaconf import BooleanNode, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


class SettingError(ValueError):
    """A setting that is not allowed: what was given, what is, what to do."""


@dataclass(frozen=True)
class Rule:
    """What is said of a setting beside its type."""

    what: str
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    among: tuple[str, ...] = ()
    length: int | None = None
    """Of a list."""
    others: bool = False
    """Of a section: whether it may hold more than it names."""
    schema: Callable[[Any], type] | None = None
    """Of a section whose schema depends on what it holds."""
    each: bool = False
    """Of a section: whether `schema` is that of each thing it holds, by name."""
    whole: bool = False
    """Of a setting that holds others by names: whether `{...}` takes the place of all that the files have."""
    told: bool = True
    """Whether `--help` shows it."""
    may_miss: bool = False
    """Whether it needs no value, as what has a default in the code that it is given to."""


def setting(what: str, **rule: Any) -> Any:
    """A field of a schema. Defaults stand in configs/*.yaml."""
    return field(default=NOT_GIVEN, metadata={"rule": Rule(what, **rule)})


def checked(schema: type, config: DictConfig) -> DictConfig:
    """The configuration, resolved and with the types of its schema."""
    try:
        plain: Any = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise SettingError(str(error).splitlines()[0]) from None
    return OmegaConf.create(_section(schema, plain, "", others=False))


def _section(
    schema: type, given: Mapping[Any, Any], prefix: str, *, others: bool
) -> dict[str, Any]:
    known, typed, found = rules_of(schema), _typed(schema), dict[str, Any]()
    for key, value in given.items():
        name = f"{prefix}{key}"
        if key not in known:
            if not others:
                raise SettingError(unknown(name, (f"{prefix}{other}" for other in known)))
            found[str(key)] = _finite(name, value)
            continue
        kind, rule = known[key]
        within = section_of(kind, rule, value)
        if within is None or (value is None and NoneType in get_args(kind)):
            found[key] = _value(typed, key, name, value)
        elif not isinstance(value, Mapping):
            named = isinstance(value, str) and "name" in rules_of(within)
            example = f"{name}.name={value}" if named else f"{name}.NAME=VALUE"
            raise SettingError(
                f"{name}={shown(value)}: give settings by their names, as {example} ({rule.what})"
            )
        elif rule.each and rule.schema is not None:
            parts = {n: _mapping(f"{name}.{n}", part) for n, part in value.items()}
            found[key] = {
                n: _section(rule.schema(part), part, f"{name}.{n}.", others=True)
                for n, part in parts.items()
            }
        else:
            found[key] = _section(within, value, f"{name}.", others=rule.others)
    for key in known:
        if key not in given and not known[key][1].may_miss:
            raise SettingError(f"{prefix}{key} has to have a value ({known[key][1].what})")
    return found


@cache
def _typed(schema: type) -> DictConfig:
    """What values are put into, to be checked and converted."""
    return OmegaConf.structured(schema)


def _value(typed: DictConfig, key: str, name: str, value: Any) -> Any:
    kind, rule = rules_of(OmegaConf.get_type(typed))[key]  # type: ignore[arg-type]
    try:
        typed[key] = value
    except OmegaConfBaseException:
        raise SettingError(_refused(name, value, kind, rule)) from None
    taken = typed[key]
    taken = OmegaConf.to_container(taken) if OmegaConf.is_config(taken) else taken
    for own, part in taken.items() if isinstance(taken, dict) else ():
        if not _within(part, rule):
            raise SettingError(_refused(f"{name}.{own}", part, get_args(kind)[1], rule))
    if not _within(taken, rule):
        raise SettingError(_refused(name, value, kind, rule))
    return taken


def is_true(value: Any) -> bool:
    """As it is read where a setting is true or false: yes, on and 1 are true too."""
    try:
        return bool(BooleanNode(value)._value())
    except OmegaConfBaseException:
        return False


def _within(value: Any, rule: Rule) -> bool:
    if isinstance(value, list):
        right = rule.length is None or len(value) == rule.length
        return right and all(_within(part, rule) for part in value)
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int | float):
        return (
            math.isfinite(value)
            and (rule.least is None or value >= rule.least)
            and (rule.most is None or value <= rule.most)
            and (rule.above is None or value > rule.above)
            and (rule.below is None or value < rule.below)
        )
    return not (isinstance(value, str) and rule.among) or value in rule.among


def _finite(name: str, value: Any) -> Any:
    """A setting that its own part checks: any value, but no number that is none."""
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(f"{name}={value}: give a number")
    return value


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingError(
            f"{name}={shown(value)}: there are several settings in it: {name}.NAME=VALUE"
        )
    return value


# What a schema says.


@cache
def rules_of(schema: type) -> dict[str, tuple[Any, Rule]]:
    """The type and rule of each field by its name."""
    hints = get_type_hints(schema)
    return {f.name: (hints[f.name], _rule(f)) for f in fields(schema)}


def _rule(of: Field[Any]) -> Rule:
    assert of.default is not MISSING, f"{of.name} is no setting()"
    return of.metadata["rule"]


def section_of(kind: Any, rule: Rule, value: Any) -> type | None:
    """The schema of a field that is a section."""
    if rule.schema is not None:
        return rule.schema(value)
    found = [part for part in (get_args(kind) or (kind,)) if hasattr(part, "__dataclass_fields__")]
    return found[0] if found else None


def takes_any_name(schema: type, name: str) -> bool:
    """Whether a dotted name is of a setting that holds others by names of the user's own, or in one."""
    for part in name.split("."):
        kind, rule = rules_of(schema).get(part, (None, None))
        if kind is None or rule is None:
            return False
        if dict in {get_origin(one) for one in (kind, *get_args(kind))}:
            return True
        within = section_of(kind, rule, None)
        if within is None:
            return False
        schema = within
    return False


def is_whole(schema: type, name: str) -> bool:
    """Of a setting of the schema itself."""
    return name in rules_of(schema) and rules_of(schema)[name][1].whole


def takes_others(schema: type, name: str) -> bool:
    """Whether a dotted name would be in a section that holds more than it names."""
    *sections, _ = name.split(".")
    others = False
    for part in sections:
        kind, rule = rules_of(schema).get(part, (None, None))
        within = None if rule is None else section_of(kind, rule, None)
        if rule is None or within is None:
            return False
        schema, others = within, rule.others
    return others


# Words.

MANY = 10**9
"""A bound that is only there to have one."""
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
PLURALS = {int: "whole numbers", float: "numbers", str: "names"}


def allowed(kind: Any, rule: Rule) -> str:
    """In words, as `a whole number from 1 up, or null`."""
    kinds = (
        [part for part in get_args(kind) if part is not NoneType] if get_origin(kind) else [kind]
    )
    optional = NoneType in get_args(kind)
    if get_origin(kind) in (list, dict):
        kinds = [kind]
    (main,) = kinds
    if get_origin(main) is list:
        (of,) = get_args(main)
        count = "" if rule.length is None else f"{rule.length} "
        words = f"a list of {count}{PLURALS.get(of, 'names')}{_range(rule)}"
    elif get_origin(main) is dict:
        words = "settings by their names, as {NAME: VALUE}"
    elif rule.among:
        words = ", ".join(rule.among[:-1]) + f" or {rule.among[-1]}"
    else:
        words = WORDS[main] + _range(rule)
    return words + (", or null" if optional else "")


def _range(rule: Rule) -> str:
    low, high = rule.least, rule.most
    high = None if high is None or high >= MANY else high
    if rule.above is not None:
        end = f", up to {high:g}" if high is not None else ""
        return f" above {rule.above:g}{end}"
    if rule.below is not None:
        return f" from {low:g} up to, but not, {rule.below:g}"
    if low is not None:
        return f" from {low:g} to {_plain(high)}" if high is not None else f" from {low:g} up"
    return ""


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"


def _refused(name: str, value: Any, kind: Any, rule: Rule) -> str:
    hint = f", as {name}=[{value}]" if isinstance(value, str) and get_origin(kind) is list else ""
    return f"{name}={shown(value)}: give {allowed(kind, rule)}{hint} ({rule.what})"


def unknown(name: str, names: Iterable[str]) -> str:
    known = list(names)
    near = get_close_matches(name, known, 3, 0.6) or get_close_matches(name.lower(), known, 3, 0.6)
    last = name.rsplit(".", 1)[-1]
    near += [n for n in known if n.rsplit(".", 1)[-1] == last and n not in near]
    if near:
        return f"{name}: there is no such setting. Did you mean {' or '.join(near[:3])}?"
    return f"{name}: there is no such setting. There are: {', '.join(known)}."


def shown(value: Any) -> str:
    """As it is written on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(shown, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{shown(part)}" for key, part in value.items()) + "}"
    return str(value)
