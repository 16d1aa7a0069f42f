"""The presets of methods: what they do, what they need, where they come from."""

from __future__ import annotations

from functools import cache
from typing import Any

from omegaconf import OmegaConf

from amft_mm.methods.imitation import imitation
from envs.paths import data_folder

STATUSES = (
    "official code read",
    "re-implementation read",
    "formula in the paper",
    "own reading",
    "of this suite",
)
"""How well a preset is known to be what its authors mean, in `status`; `identities` names the tests that hold
what it has to be."""
NOTHING, ANY, SHOWN = "none", "any", "of what is explored"


@cache
def methods() -> dict[str, dict[str, Any]]:
    """The presets by name, for everybody to read."""
    folder = data_folder("configs") / "method"
    files = sorted(f for f in folder.iterdir() if f.name.endswith(".yaml"))
    texts = {f.name[:-5]: f.read_text(encoding="utf-8") for f in files}
    return {name: dict(OmegaConf.create(text)) for name, text in texts.items()}


def demonstrations_of(preset: dict[str, Any]) -> str:
    """Which demonstrations a method needs once its warm-up is over."""
    if "guidance" in preset:
        return SHOWN
    if hasattr(imitation(preset["imitation"]["name"]), "stream"):
        return NOTHING
    return NOTHING if preset["balance"]["name"] == "rl" else ANY
