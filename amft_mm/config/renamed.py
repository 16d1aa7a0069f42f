"""Names that meant something else than what they did, and what that is called now."""

from __future__ import annotations

from collections.abc import Sequence

from amft_mm.config.fields import unknown

RENAMED = {
    "gradnorm": (
        "norm_matching",
        "it makes both gradients equally large, and is not GradNorm of Chen et al.",
    ),
}


def refuse_old_name(setting: str, name: str) -> None:
    if name in RENAMED:
        new, why = RENAMED[name]
        raise ValueError(f"{setting}={name} is called {new} now: {why}")


def no_such(given: str, name: str, names: Sequence[str]) -> str:
    """Of a name that is not among these, where `given` is what was written."""
    if name in RENAMED and RENAMED[name][0] in names:
        new, why = RENAMED[name]
        return f"{given} is called {new} now: {why}"
    return given + unknown(name, names).removeprefix(name)
