"""A run in one picture: success, the mix, losses and gradients by step, from its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents.files import whole_file
from amft_mm.runs.metrics import weights_of

PANELS: dict[str, dict[str, str]] = {
    "success": {"rollout/success": "rollouts"},
    "share of imitation": {"mu": "mu", "grad/effective_ratio": "|mu g_S| / |(1 - mu) g_R|"},
    "losses": {"loss/imitation": "imitation", "loss/exploration": "exploration"},
    "gradients": {
        "grad/imitation_norm": "|g_S|",
        "grad/exploration_norm": "|g_R|",
        "grad/cosine": "cosine",
    },
    "entropy": {"policy/entropy": "of the rollouts' tokens"},
    "what mu did": {"meta/look": "a look", "meta/evidence": "all looks, in standard errors"},
}


def is_success(key: str) -> bool:
    """Whether a figure is a rate of success (and not how often that ended an episode, or was a verdict)."""
    return key.endswith("/success") and not key.endswith(("/stop/success", "/verdict/success"))


def _evaluated(key: str) -> str | None:
    """The label of what an evaluation found, and those of a few episodes while it warmed up."""
    kind, _, rest = key.partition("/")
    return {"eval": rest, "quick": f"{rest}, few episodes"}.get(kind)


def draw(rows: Sequence[dict[str, Any]], path: Path, title: str) -> None:
    from matplotlib.figure import Figure  # without pyplot: no window, no state

    figure = Figure(figsize=(12, 6.5))
    # Fixed: a layout that is found by drawing takes as long again as the picture, at every evaluation.
    figure.subplots_adjust(0.045, 0.075, 0.99, 0.89, wspace=0.17, hspace=0.33)
    figure.suptitle(title)
    for axes, (name, lines) in zip(figure.subplots(2, 3).flat, PANELS.items(), strict=True):
        named = dict(lines)
        if name == "success":
            keys = {key for row in rows for key in row if is_success(key)}
            named |= {key: label for key in sorted(keys) if (label := _evaluated(key))}
        for key, label in named.items():
            known = [row for row in rows if row.get(key) is not None]
            points = sorted((weights_of(row), row[key]) for row in known)
            if points:
                marker = "o" if _evaluated(key) else None
                axes.plot(*zip(*points, strict=True), label=label, marker=marker, markersize=4)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("step", fontsize=9)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=8)
        if name in ("success",):
            axes.set_ylim(-0.02, 1.02)
    with whole_file(path) as unfinished:
        figure.savefig(unfinished, dpi=110, format="png")
