"""How a script is begun: `started(main)` ends quietly at Ctrl+C, or where who reads has seen enough; and
`call(main)` has its words, written name=value, read by the types of main's defaults before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from inspect import signature
from typing import Any

from envs.printed import reader_may_leave


def started(main: Callable[..., None], **given: Any) -> None:
    try:
        with reader_may_leave():
            main(**given)
    except KeyboardInterrupt:
        sys.exit(130)


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
    started(main, **given)


def read(value: str, kind: type) -> Any:
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise ValueError("give true or false")
        return value.lower() == "true"
    if kind is int and not (value.isdigit() and int(value)):
        raise ValueError("give a whole number from 1 up")
    return kind(value)
