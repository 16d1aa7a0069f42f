"""`python -m amft_mm.evaluate run=RUN` or `model=NAME env=ENV`: every split, with intervals.

Writes `summary.json` (which weights, splits, seeds, how many episodes, what came out), `instances.json` (how
each task instance fared) and `episodes/` (the first of each split, amft_mm/runs/episodes.py) below `out=`.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before what is slow to import
    from amft_mm import commands

    sys.exit(commands.main(["evaluate", *sys.argv[1:]]))

from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agents.policy import OtherWeights, Policy
from amft_mm.config.command_line import written
from amft_mm.config.players import is_served, open_process_group, player_name, player_of
from amft_mm.evaluation.evaluator import Evaluator, check_splits
from amft_mm.evaluation.table import markdown_row
from amft_mm.runs import checkpoints
from amft_mm.runs.dotted import flat
from amft_mm.runs.episodes import Recorder
from amft_mm.runs.folder import CONFIG, has_begun, read_config, write_evaluation
from amft_mm.runs.progress import CRASHED

PLAYED = ("split", "splits")
"""What is played of a world, and not how it asks."""


def evaluate(config: DictConfig) -> dict[str, Any]:
    """What summary.json holds."""
    check_splits(config)
    folder = out_folder(config)
    processes = open_process_group(config)
    if processes.main:  # else it is found to be no place to write to when all has been played
        folder.mkdir(parents=True, exist_ok=True)
    if processes.main and (words := asked_otherwise(config)):
        print(
            f"model.name={config.model.name} learnt by {' '.join(words)}, and is asked otherwise here: say "
            f"so too, or take run={Path(config.model.name).parent}"
        )
    policy, engine = player_of(config)
    weights, step = player_name(config), 0
    if config.run is not None and isinstance(policy, Policy):
        path = checkpoint_of(Path(config.run), str(config.checkpoint))
        try:
            policy.put_trained(checkpoints.load(path, only="model")["model"])
        except OtherWeights as error:
            raise OtherWeights(f"run={config.run} has trained {error}") from None
        weights, step = f"{Path(config.run).name}/{path.name}", checkpoints.step_of(path)
        engine.refresh()
    evaluator = Evaluator(config, policy, engine, processes)
    found = evaluator.evaluate(last=config.eval.splits is None)
    summary = evaluator.summary(weights, found)
    told = (f"eval/{split}/crash" for split in summary["splits"])
    crashes = {name: found[name] for name in told if name in found}
    if len(crashes) == len(summary["splits"]):
        raise RuntimeError(
            f"every episode crashed, so that there is nothing to tell, and nothing was written; the first by "
            f"{next(iter(crashes.values()))}"
        )
    if processes.main:
        write_evaluation(folder, summary, evaluator.instances())
        show(summary, folder)
        if config.table:
            print(markdown_row(summary))
        forget_episodes(folder / "episodes")
        evaluator.keep(Recorder(folder / "episodes", policy), step, config.record)
    evaluator.close()
    return summary


def asked_otherwise(config: DictConfig) -> list[str]:
    """How the world asked in the run whose model this is, where it asks otherwise now; of a run that is named
    its own settings are taken."""
    run = Path(config.model.name).parent
    if config.run is not None or is_served(config) or not (run / CONFIG).is_file():
        return []
    learnt, asked = (flat(told.env) for told in (read_config(run), config))
    if learnt["name"] != asked["name"]:
        return []
    differs = {k: v for k, v in learnt.items() if k in asked and asked[k] != v and k not in PLAYED}
    return [f"env.{name}={written(value)}" for name, value in differs.items()]


def checkpoint_of(run: Path, wanted: str) -> Path:
    folder = run / "checkpoints"
    if wanted == "last":
        path = checkpoints.latest(folder)
    elif wanted == "best":
        known = checkpoints.best(folder)
        path = None if known is None else checkpoints.path_of(folder, known["step"])
    else:
        path = checkpoints.path_of(folder, int(wanted)) if wanted.isdigit() else None
    if path is None or not path.is_dir():
        raise FileNotFoundError(
            f"checkpoint={wanted!r} is not in {folder}: give last, best or a step; "
            f"there: {checkpoints.names(folder)}"
        )
    return path


def forget_episodes(folder: Path) -> None:
    """Of an evaluation before, of other weights perhaps, and of splits that are not played now."""
    for path in folder.glob("*-evaluation-*.parquet"):
        path.unlink()


def out_folder(config: DictConfig) -> Path:
    if config.out:
        if has_begun(Path(config.out)):
            raise ValueError(
                f"out={config.out} holds a run, whose own summary and episodes would be written over: choose "
                "another folder"
            )
        return Path(config.out)
    name = Path(player_name(config)).name
    if config.run is not None:
        return Path(config.run) / (f"evaluation-{name}" if is_served(config) else "evaluation")
    return Path(f"evaluation-{config.env.name}-{name}")


def show(summary: dict[str, Any], folder: Path) -> None:
    heads = ("split", "success", "95 % interval", "flawless", "return", "turns")
    table = Table(*heads, "most frequent verdicts")
    for split in summary["splits"]:
        part = {
            k.removeprefix(f"eval/{split}/"): v
            for k, v in summary.items()
            if k.startswith(f"eval/{split}/")
        }
        verdicts = sorted(
            ((v, k.removeprefix("verdict/")) for k, v in part.items() if k.startswith("verdict/")),
            reverse=True,
        )
        if part and part["success"] is None:
            table.add_row(split, CRASHED, "", "", "", "", Text(str(part.get("crash", ""))))
        elif part:
            table.add_row(
                split,
                f"{part['success']:.1%}",
                f"{part['low']:.1%} to {part['high']:.1%}",
                f"{part['flawless']:.1%}",
                f"{part['return']:.2f}",
                f"{part['turns']:.1f}",
                Text(", ".join(f"{name} {share:.0%}" for share, name in verdicts[:3])),
            )
    console = Console()
    console.print(table)
    console.print(f"{folder}/summary.json", highlight=False, soft_wrap=True, markup=False)
