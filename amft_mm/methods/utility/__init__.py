"""What mu is learnt for: utilities U, seen through their gradient's product with z = d theta / d mu.

    utility(name).look(view) -> Look, or None where nothing is to be seen at this step

`view` is the step's own (amft_mm/methods/utility/base.py). A look leaves no gradient behind. A new utility
is a file with a class and a line in `UTILITIES`, or MODULE:CLASS outside the suite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from agents.plugins import make
from amft_mm.methods.utility import demo_nll, heldout, log_success, next_rollout
from amft_mm.methods.utility.base import Look, Utility, View

UTILITIES: dict[str, Callable[..., Utility]] = {
    "next_rollout": next_rollout.NextRollout,
    "heldout": heldout.Heldout,
    "log_success": log_success.LogSuccess,
    "demo_nll": demo_nll.DemoNLL,
}

__all__ = ["UTILITIES", "Look", "Utility", "View", "utility"]


def utility(name: str, settings: dict[str, Any]) -> Utility:
    made = make("method.utility", name, UTILITIES, settings)
    if not callable(getattr(made, "look", None)):
        raise ValueError(
            f"method.utility.name={name}: a utility of your own is a class with look(view); "
            f"{type(made).__name__} has none"
        )
    return cast(Utility, made)
