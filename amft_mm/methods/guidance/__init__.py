"""What guides exploration: `guidance(name, settings)` gives a Guidance (amft_mm/methods/guidance/base.py).

A new one is a file with a class and a line in `GUIDANCE`, or MODULE:CLASS outside the suite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from agents.plugins import make
from amft_mm.methods.guidance.base import Choice, Group, Guidance, Place
from amft_mm.methods.guidance.failing import Failing
from amft_mm.methods.guidance.hpt import HPT
from amft_mm.methods.guidance.joined import Joined
from amft_mm.methods.guidance.micro_groups import MicroGroups
from amft_mm.methods.guidance.prefix import Prefix
from amft_mm.methods.guidance.relift import ReLIFT
from amft_mm.methods.guidance.shown import Shown
from amft_mm.methods.guidance.superrl import SuperRL
from amft_mm.methods.guidance.uft import UFT

GUIDANCE: dict[str, Callable[..., Guidance]] = {
    "none": Guidance,
    "shown": Shown,
    "joined": Joined,
    "prefix": Prefix,
    "micro_groups": MicroGroups,
    "hpt": HPT,
    "relift": ReLIFT,
    "superrl": SuperRL,
    "failing": Failing,
    "uft": UFT,
}

__all__ = ["GUIDANCE", "Choice", "Group", "Guidance", "Place", "guidance"]


def guidance(name: str, settings: dict[str, Any]) -> Guidance:
    return cast(Guidance, make("method.guidance", name, GUIDANCE, settings, Guidance))
