"""Does mu fall where demonstrations are bad? `python benchmarks/study_corruption.py out=FOLDER`.

A model that solves a part of the sums (it imitated for `warm` steps) goes on with demonstrations of which
0, 50 or 100 % are wrong, by `method=amft` for each utility, and without demonstrations by `method=grpo`:
the same starting weights, the same task instances, `seeds` seeds. Each run is a folder in `out`, and one
that has finished is not made again. Printed are the means over seeds with 95 % bootstrap intervals: mu at
the end, and success of the last evaluation less that of exploration alone with the same seed.

    warm=700 steps=60 seeds=3 utilities=next_rollout,log_success
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from amft_mm.intervals import bootstrap
from amft_mm.metrics import read_rows

SHARES = (0.0, 0.5, 1.0)


def main() -> None:
    given = {"out": "runs/corruption", "warm": "700", "steps": "60", "seeds": "3"}
    given |= {"utilities": "next_rollout,log_success"}
    for word in sys.argv[1:]:
        name, _, value = word.partition("=")
        if name not in given:
            raise SystemExit(f"{word}: there are {', '.join(given)}")
        given[name] = value
    out, seeds = Path(given["out"]), range(int(given["seeds"]))
    train(out / "warm", f"train.warmup_steps={given['warm']}", "train.steps=0", "eval.every=0")
    alone = {
        s: after_warm(out, f"alone-{s}", given["warm"], given["steps"], s, "method=grpo")
        for s in seeds
    }
    print(
        "| utility | wrong demonstrations | mu at the end | success less that of exploration alone |"
    )
    print("|---|---|---|---|")
    for utility in given["utilities"].split(","):
        for share in SHARES:
            settings = (f"method.utility.name={utility}", f"demos.corrupt.share={share}")
            runs = [
                after_warm(
                    out, f"{utility}-{share}-{s}", given["warm"], given["steps"], s, *settings
                )
                for s in seeds
            ]
            mus = [told(folder, "mu")[-1] for folder in runs]
            gains = [
                success(folder) - success(alone[s]) for s, folder in zip(seeds, runs, strict=True)
            ]
            print(
                f"| {utility} | {share:.0%} | {interval(mus, '.2f')} | {interval(gains, '+.1%')} |"
            )
    print(f"exploration alone: {interval([success(folder) for folder in alone.values()], '.1%')}")


def after_warm(out: Path, name: str, warm: str, steps: str, seed: int, *settings: str) -> Path:
    return train(
        out / name,
        f"train.warm_from={out / 'warm'}",
        f"train.warmup_steps={warm}",
        f"train.steps={steps}",
        f"seed={seed}",
        f"demos.seed={seed}",
        "demos.n=1024",
        "eval.every=0",
        "eval.episodes=400",
        "eval.splits=[id]",
        *settings,
    )


def train(folder: Path, *settings: str) -> Path:
    if not (folder / "model").is_dir():
        words = [sys.executable, "-m", "amft_mm.train", "env=math", f"out={folder}", *settings]
        subprocess.run([*words, "threads=1"], check=True, stdout=subprocess.DEVNULL)
    return folder


def told(folder: Path, name: str) -> list[float]:
    rows = read_rows(folder)
    return [row[name] for row in rows if row["phase"] == "mix" and name in row]


def success(folder: Path) -> float:
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return float(summary["eval/id/success"])


def interval(values: list[float], form: str) -> str:
    low, high = bootstrap(values)
    return f"{np.mean(values):{form}} ({low:{form}} to {high:{form}})"


if __name__ == "__main__":
    main()
