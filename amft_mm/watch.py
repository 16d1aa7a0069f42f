"""`python -m amft_mm.watch RUN` shows a run in the terminal: how far, mu, success, verdicts; Ctrl+C ends it.

It reads what the run writes and touches nothing, so it may be started and stopped at will, also over ssh.
Where there is no terminal, or with `--once`, it prints what there is and ends.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before what is slow to import
    from amft_mm import commands

    sys.exit(commands.main(["watch", *sys.argv[1:]]))

import argparse
import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from amft_mm.config.begun import settings_of
from amft_mm.runs.curves import is_success
from amft_mm.runs.failures import told
from amft_mm.runs.folder import CONFIG
from amft_mm.runs.metrics import QUICK, is_step, read_rows, weights_of
from amft_mm.runs.progress import as_share, left

Point = tuple[float, float]
BLOCKS = "▁▂▃▄▅▆▇█"
LINES = {
    "mu": "mu",
    "success of rollouts": "rollout/success",
    "return": "rollout/return",
    "loss of imitation": "loss/imitation",
    "entropy": "policy/entropy",
}
SHARES = ("mu", "rollout/success")
"""Drawn from 0 to 1; others between their least and most."""
MOST = 10**12
"""Steps of a run."""
RECENT = 20
"""Steps that the time left is told by."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("amft_mm.watch", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--once", action="store_true", help="print what there is, and end")
    given = parser.parse_args(arguments)
    try:
        picture(given.run, width=80)
    except (ValueError, OSError) as error:
        raise SystemExit(f"watch: {error}") from None
    console = Console()
    if given.once or not console.is_terminal:
        console.print(picture(given.run, console.width))
        return
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(picture(given.run, console.width), refresh=True)
                time.sleep(1.0)
    except KeyboardInterrupt:
        console.print(picture(given.run, console.width))


def picture(run: Path, width: int) -> RenderableType:
    """The run as it is now, for a terminal of that width. Names are text, never markup."""
    config, rows = settings_of(run), read_rows(run)
    warmup, mixed = (_steps_of(config, name) for name in ("train.warmup_steps", "train.steps"))
    last = warmup + mixed
    steps = [_numbers(row) for row in rows if is_step(row) and 0 <= row["step"] <= MOST]
    names = (OmegaConf.select(config, name) for name in ("env.name", "method.name", "seed"))
    head = Text("{}   {}, {}, seed {}".format(run, *names), "bold")
    if not steps:
        return Group(head, Text("has not made a step yet"))
    now, failed = steps[-1], told(_together(steps))
    told_left = time_left(steps, last, warmup)
    done = Text(f"step {now['step']} of {last}, {now['phase']}, {told_left}")
    return Group(
        head,
        done,
        ProgressBar(total=last, completed=now["step"], width=max(10, min(width - 2, 80))),
        Text(),
        *([Text(failed, "red"), Text()] if failed else []),
        _lines(steps, max(8, width - 44)),
        Text(),
        *_evaluations(rows),
        *_verdicts(now, max(8, width - 44)),
    )


def _steps_of(config: DictConfig, name: str) -> int:
    found = OmegaConf.select(config, name)
    if not isinstance(found, int) or not 0 <= found <= MOST:
        raise ValueError(f"{CONFIG} says {name}={found!r:.50}: a run has a number of steps there")
    return found


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    """Its figures and its phase; what else a spoilt line says is left out."""
    known = {name: value for name, value in row.items() if isinstance(value, int | float)}
    return {**known, "phase": str(row.get("phase"))}


def time_left(steps: Sequence[dict[str, Any]], last: int, warmup: int = 0) -> str:
    """By the last steps of the phase that it is in: a mixed step takes many times as long as one of a warm-up
    of `warmup` steps, so that nothing is known of mixing before it has begun."""
    now = steps[-1]
    if now["step"] >= last:
        return "done"
    recent = [row for row in steps[-RECENT:] if row.get("phase") == now.get("phase")]
    times = [row["time/step"] for row in recent if "time/step" in row]
    if not times:
        return "time left not known"
    end = warmup if now["step"] <= warmup else last
    seconds = sum(times) / len(times) * (end - now["step"])
    hours, minutes = divmod(round(seconds / 60), 60)
    return left(f"{hours} h {minutes} min" if hours else f"{minutes} min", last - end)


def sparkline(points: Sequence[Point], width: int, low: float, high: float, ends: Point) -> str:
    """Means of equal stretches of steps as blocks, blank where nothing is known."""
    first, last = ends
    width = min(width, round(last - first) + 1)
    stretches: list[list[float]] = [[] for _ in range(width)]
    for step, value in points:
        stretches[math.floor((step - first) * width / (last - first + 1))].append(value)
    return "".join(_block(values, low, high) for values in stretches)


def _block(values: Sequence[float], low: float, high: float) -> str:
    if not values:
        return " "
    span = high - low
    place = (sum(values) / len(values) - low) / span if span > 0 else 0.5
    return BLOCKS[min(7, max(0, math.floor(place * 8)))]


def _together(steps: Sequence[dict[str, Any]]) -> dict[str, float]:
    """What went wrong in the whole run."""
    total: Counter[str] = Counter()
    for row in steps:
        total.update(
            {k: v for k, v in row.items() if k.startswith(("rollout/tries", "rollout/failure/"))}
        )
    return dict(total)


def _lines(steps: Sequence[dict[str, Any]], width: int) -> Table:
    """One below the other, over the same steps."""
    table, every = Table.grid(padding=(0, 2)), [row["step"] for row in steps]
    ends = min(every), max(every)
    for label, key in LINES.items():
        known = [row for row in steps if isinstance(row.get(key), int | float)]
        points = [(row["step"], float(row[key])) for row in known]
        if points:
            values = [value for _, value in points]
            low, high = (0.0, 1.0) if key in SHARES else (min(values), max(values))
            line = sparkline(points, width, low, high, ends)
            table.add_row(Text(label), Text(f"{values[-1]:.3g}", "bold"), Text(line, "cyan"))
    return table


def _evaluations(rows: Sequence[dict[str, Any]]) -> list[RenderableType]:
    found = [row for row in rows if not is_step(row)]
    if not found:
        return []
    shares = {
        k: v for k, v in found[-1].items() if is_success(k) and isinstance(v, int | float | None)
    }
    words = "   ".join(
        f"{key.removeprefix('eval/').removeprefix('quick/').removesuffix('/success')} {as_share(share)}"
        for key, share in shares.items()
    )
    some = "a few episodes" if found[-1].get("phase") == QUICK else "evaluated"
    return [Text(f"{some} after step {weights_of(found[-1])}:  {words}"), Text()]


def _verdicts(row: dict[str, Any], width: int) -> list[RenderableType]:
    """The last rollouts' verdicts, most frequent first."""
    prefix = "rollout/verdict/"
    shares = {k.removeprefix(prefix): v for k, v in row.items() if k.startswith(prefix)}
    if not shares:
        return []
    table = Table.grid(padding=(0, 2))
    for name, share in sorted(shares.items(), key=lambda item: -item[1])[:6]:
        length = round(min(share, 1) * width)
        table.add_row(Text(name), Text(f"{share:.0%}", "bold"), Text("█" * length))
    return [Text("verdicts of the last rollouts"), table]
