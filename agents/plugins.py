"""Engines and parts of methods by their names: the suite's own, or MODULE:NAME from a file of one's own.

find("balance", "amft", BALANCES)                 what the table says
find("balance", "my_file:MyBalance", BALANCES)    that name in that module
make("balance", name, BALANCES, settings)         find it and call it
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from envs.contract import one_of


def find(family: str, name: str, known: Mapping[str, Any]) -> Any:
    if ":" not in name:
        return known[one_of(family, name, tuple(known))]
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # what the file itself imports
        why = f"there is no module {error.name!r} in this folder or among the installed packages"
    except AttributeError:
        why = f"{module} has no {attribute!r}"
    raise ValueError(f"{family} {name!r}: {why}; one of your own is MODULE:NAME, as my_file:Mine")


def make(family: str, name: str, known: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    maker = find(family, name, known)
    try:
        return maker(**settings)
    except TypeError as error:
        raise ValueError(f"{family} {name}: {error}") from None
