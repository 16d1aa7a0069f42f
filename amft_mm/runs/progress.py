"""How a run is getting on: a live line on a terminal, plain lines elsewhere, nothing if quiet."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Self

from omegaconf import DictConfig
from rich.console import Console
from rich.live import Live
from rich.table import Table

from amft_mm.runs.curves import is_success
from amft_mm.runs.failures import told
from amft_mm.runs.metrics import QUICK, is_step

SHOWN = {
    "mu": "mu",
    "success": "rollout/success",
    "return": "rollout/return",
    "imitation": "loss/imitation",
    "entropy": "policy/entropy",
    "cos": "grad/cosine",
}
CRASHED = "every episode crashed"
PLAIN_EVERY = 10
"""Steps between plain lines."""


def as_share(success: float | None) -> str:
    """Of an evaluation; None where nothing was played to its end."""
    return CRASHED if success is None else f"{success:.1%}"


def left(spent: str, to_mix: int) -> str:
    """How long a phase still takes, and how many mixed steps come after it."""
    return f"{spent} of warm-up left, then {to_mix} mixed steps" if to_mix else f"{spent} left"


class Progress:
    def __init__(self, config: DictConfig, path: Path, *, quiet: bool = False) -> None:
        self._warmup = config.train.warmup_steps
        self._last = self._warmup + config.train.steps
        self._quiet, self._console = quiet, Console()
        self._live: Live | None = None
        if not quiet and sys.stdout.isatty():
            self._live = Live(console=self._console, refresh_per_second=2)
        self._phase, self._began, self._first = "", 0.0, 0
        self._limits, self._told_of_cut = config.limits, False
        self.say(f"{config.env.name}, {config.method.name}, {config.model.name} -> {path}")

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._live:
            self._live.stop()

    def say(self, words: str) -> None:
        if self._quiet:
            return
        try:
            self._console.print(words, highlight=False, soft_wrap=True, markup=False)
        except (OSError, SystemExit):  # who looked on has gone, as `head` does; the run goes on
            self._quiet, self._live = True, None

    def tell(self, row: dict[str, Any]) -> None:
        if self._quiet:
            return
        if not is_step(row):
            shares = {k: v for k, v in row.items() if is_success(k)}
            words = (f"{k.removesuffix('/success')} {as_share(v)}" for k, v in shares.items())
            still = f"step {row['step']}, still warming up: " if row["phase"] == QUICK else ""
            self.say(still + "  ".join(words))
            return
        if row["phase"] != self._phase:  # whose steps take another time
            self._phase, self._first = row["phase"], row["step"]
            self._began = time.monotonic() - row["time/step"]
        if failed := told(row):
            self.say(f"step {row['step']}: {failed}; failures.jsonl has the first tracebacks")
        if row.get("demos/cut") and not self._told_of_cut:
            self._told_of_cut = True
            self.say(f"step {row['step']}: {self._cut(row['demos/cut'])}")
        if self._live:
            self._live.update(self._table(row))
        elif row["step"] % PLAIN_EVERY == 0 or row["step"] in (self._first, self._last):
            self.say(f"step {row['step']}/{self._last}  " + "  ".join(self._figures(row)))

    def _cut(self, count: int) -> str:
        limits = self._limits
        return (
            f"{count} of its demonstrations are longer than what the agent may write "
            f"(limits.max_new_tokens={limits.max_new_tokens}, max_tokens={limits.max_tokens}, "
            f"max_turns={limits.max_turns}): raise what they need; demos/cut in metrics.jsonl counts them"
        )

    def _figures(self, row: dict[str, Any]) -> list[str]:
        figures = [
            f"{name} {row[key]:.3g}" for name, key in SHOWN.items() if row.get(key) is not None
        ]
        tokens = row.get("tokens/generated", 0) + row.get("tokens/demo", 0)
        figures.append(f"{tokens / max(row['time/step'], 1e-9):.0f} tokens/s")
        end = self._warmup if row["step"] <= self._warmup else self._last
        a_step = (time.monotonic() - self._began) / (row["step"] - self._first + 1)
        minutes = a_step * (end - row["step"]) / 60
        return [*figures, left(f"{minutes:.1f} min", self._last - end)]

    def _table(self, row: dict[str, Any]) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_row(f"[bold]step {row['step']}/{self._last}[/bold]", *self._figures(row))
        return table
