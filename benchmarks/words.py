"""Words of a script, written name=value: `call(main)` has them read by the types of main's defaults."""

from __future__ import annotations

import sys
from collections.abc import Callable
from inspect import signature
from typing import Any


def call(main: Callable[..., None]) -> None:
    defaults = {name: p.default for name, p in signature(main).parameters.items()}
    there = " ".join(f"{name}={str(value).lower()}" for name, value in defaults.items())
    given = {}
    for word in sys.argv[1:]:
        name, equals, value = word.partition("=")
        if name not in defaults or not equals:
            sys.exit(f"{word}: there is no such word; there are {there}")
        try:
            given[name] = read(value, type(defaults[name]))
        except ValueError as error:
            sys.exit(f"{word}: {error}")
    main(**given)


def read(value: str, kind: type) -> Any:
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise ValueError("give true or false")
        return value.lower() == "true"
    if kind is int and not (value.isdigit() and int(value)):
        raise ValueError("give a whole number from 1 up")
    return kind(value)
