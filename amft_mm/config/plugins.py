"""Losses by their names: the suite's own modules, or MODULE:loss from a file of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from agents.plugins import find


def loss_of(family: str, name: str, known: Mapping[str, ModuleType]) -> Any:
    """A loss of one's own is MODULE:loss; NEEDS is looked for beside it, as in the suite's own files."""
    found = find(family, name, known)
    if isinstance(found, ModuleType):
        return found
    module = import_module(name.partition(":")[0])
    if getattr(module, "loss", None) is not found:
        raise ValueError(
            f"{family} {name!r}: a loss of your own is a function called loss: MODULE:loss"
        )
    return module
