"""Engines and parts of methods by their names: the suite's own, or MODULE:NAME from a file of one's own.

find("method.balance", "amft", BALANCES)                 what the table says
find("method.balance", "my_file:MyBalance", BALANCES)    that name in that module
make("method.balance", name, BALANCES, settings)         find it and call it
of_another_kind("method.balance", maker, settings)       settings that are not of the kind that its hints say
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from envs.arguments import is_module
from envs.contract import one_of

KINDS = {
    float: "a number",
    int: "a whole number",
    str: "a word",
    bool: "true or false",
    NoneType: "null",
}


def find(family: str, name: str, known: Mapping[str, Any]) -> Any:
    if ":" not in name:
        return known[one_of(f"{family}.name", name, tuple(known))]
    module, _, attribute = name.partition(":")
    if not is_module(module):
        raise ValueError(
            f"{family} {name!r}: {module!r} is no name of a module; one of your own is MODULE:NAME, as "
            "my_file:Mine, and is looked for in this folder and among the installed packages"
        )
    try:
        imported = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # what the file itself imports
        why = f"there is no module {error.name!r} in this folder or among the installed packages"
    else:
        if hasattr(imported, attribute):
            return getattr(imported, attribute)
        why = f"{module} has no {attribute!r}"
    raise ValueError(f"{family} {name!r}: {why}; one of your own is MODULE:NAME, as my_file:Mine")


def make(
    family: str,
    name: str,
    known: Mapping[str, Any],
    settings: Mapping[str, Any],
    base: type | None = None,
) -> Any:
    """`base` is what one of somebody's own is a subclass of."""
    maker = find(family, name, known)
    for problem in of_another_kind(family, maker, settings):
        raise ValueError(problem)
    try:
        made = maker(**settings)
    except TypeError as error:
        given = ", ".join(settings) or "nothing"
        raise ValueError(f"{family} {name}: {error}; it is called with {given}") from None
    if base is not None and not isinstance(made, base):
        raise ValueError(
            f"{family} {name}: one of your own is a subclass of {base.__module__}.{base.__name__}; "
            f"{type(made).__name__} is not"
        )
    return made


def of_another_kind(
    family: str, called: Callable[..., Any], settings: Mapping[str, Any]
) -> Iterator[str]:
    for option, kinds in kinds_of(called).items():
        if option in settings and not _is_of(settings[option], kinds):
            allowed = " or ".join(KINDS[kind] for kind in kinds)
            given = settings[option]
            told = given if isinstance(given, str) else json.dumps(given, default=str)
            yield f"{family}.{option}={told:.100} must be {allowed}"


def kinds_of(called: Callable[..., Any]) -> dict[str, tuple[type, ...]]:
    """Of the options whose kind is told, and that a setting can have."""
    try:
        hints = get_type_hints(called.__init__ if isinstance(called, type) else called)  # type: ignore[misc]
    except (NameError, TypeError, AttributeError):  # of somebody's own
        return {}
    told = {name: _alternatives(hint) for name, hint in hints.items()}
    return {name: kinds for name, kinds in told.items() if set(kinds) <= KINDS.keys()}


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _is_of(value: Any, kinds: tuple[type, ...]) -> bool:
    """A whole number is a number; true is not."""
    return type(value) in kinds or (type(value) is int and float in kinds)
