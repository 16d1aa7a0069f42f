"""Names that meant something else than what they did, and what that is called now."""

from __future__ import annotations

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
