"""What a user gives, and what is allowed.

    type=whole(1, 10)                      a number on a command line that argparse reads
    take_keywords(parser, "world")         -k name=value there, for the arguments of an environment
    make_env("my/World-v0", {"cty": "rome"})  ValueError: ... has no argument cty. Did you mean 'city'?

Each error says what there is to choose from.
"""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

import gymnasium
from gymnasium.envs.registration import load_env_creator

from envs.contract import did_you_mean

_OF_MAKE = {"max_episode_steps", "disable_env_checker"}
"""What `gymnasium.make` keeps to itself."""


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A whole number from `least` to `most`."""
    told = f"a whole number from {least} " + ("up" if most is None else f"to {most}")

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            raise argparse.ArgumentTypeError(f"{text!r}: give {told}")
        return number

    return read


def keyword(text: str) -> tuple[str, Any]:
    """`name=value`; the value is read as JSON where it is JSON, else it is a text."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def take_keywords(parser: argparse.ArgumentParser, of: str) -> None:
    """`-k name=value`, whose list is `keywords` of what the parser reads."""
    parser.add_argument(
        "-k",
        dest="keywords",
        metavar="NAME=VALUE",
        type=keyword,
        action="append",
        default=[],
        help=f"an argument of the {of}; may be given several times",
    )


def make_env(name: str, arguments: Mapping[str, Any], **how: Any) -> gymnasium.Env[Any, Any]:
    """`gymnasium.make`, which is told `how`; arguments that the environment does not take are refused."""
    _module_of(name)
    try:
        return gymnasium.make(name, **how, **arguments)
    except TypeError:
        _refuse(name, arguments)
        raise


def may_take(name: str, argument: str) -> bool:
    """Whether the environment NAME or MODULE:NAME may be given this argument."""
    if module := _module_of(name):
        import_module(module)
    taken = _taken(name)
    return taken is None or argument in taken


def is_module(name: str) -> bool:
    """Whether a module can be named so: no path, and no dot at the beginning."""
    return all(part.isidentifier() for part in name.split("."))


def _module_of(name: str) -> str:
    """Of the environment MODULE:NAME, "" where there is none."""
    module, named, _ = name.rpartition(":")
    if named and not is_module(module):
        raise ValueError(
            f"environment {name!r}: {module!r} is no name of a module. One of your own is named MODULE:ID, "
            "as my_file:my/Env-v0, and is looked for in this folder and among the installed packages"
        )
    return module


def _taken(name: str) -> Mapping[str, inspect.Parameter] | None:
    """The arguments of an environment; None where it takes any, or nobody has registered it."""
    spec = gymnasium.registry.get(name.rpartition(":")[2])
    if spec is None or spec.entry_point is None:
        return None
    point = spec.entry_point
    creator = load_env_creator(point) if isinstance(point, str) else point
    taken = inspect.signature(creator).parameters
    any_name = any(argument.kind is argument.VAR_KEYWORD for argument in taken.values())
    return None if any_name else taken


def _refuse(name: str, given: Iterable[str]) -> None:
    """ValueError where an environment that is registered lacks one of these arguments, or wants another."""
    taken = _taken(name)
    if taken is None:
        return
    there = {*given, *gymnasium.registry[name.rpartition(":")[2]].kwargs}
    told = f"It takes {', '.join(taken)}."
    for argument in sorted(there - taken.keys() - _OF_MAKE):
        raise ValueError(
            f"{name} has no argument {argument}.{did_you_mean(argument, taken)} {told}"
        )
    for argument, how in taken.items():
        if how.default is how.empty and argument not in there:
            raise ValueError(f"{name} needs the argument {argument}. {told}")
