"""`python -m amft_mm.train env=virl|general_points|math [name=value ...]`

Trains an agent by imitation and exploration, mixed as `method=` says, into the folder `out=`.
`resume=true` goes on with an interrupted run. Under `torchrun --nproc_per_node N -m amft_mm.train` N
processes make the update that one would make.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before what is slow to import
    from amft_mm import commands

    sys.exit(commands.main(["train", *sys.argv[1:]]))

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from amft_mm.config.command_line import quoted
from amft_mm.config.dry_run import describe, table
from amft_mm.config.fields import checked
from amft_mm.config.players import engine_of, load_policy, open_process_group
from amft_mm.config.schema import SCHEMAS
from amft_mm.config.settings import EnvPart, parts_of
from amft_mm.demos import make_demos
from amft_mm.evaluation.evaluator import check_splits
from amft_mm.methods.combinations import refuse_contradictions
from amft_mm.replay.film import films_of_evaluation
from amft_mm.runs.folder import RunFolder, default_path
from amft_mm.runs.processes import ProcessGroup
from amft_mm.runs.progress import Progress
from amft_mm.runs.trackers import trackers
from amft_mm.trainer import Stopped, Trainer
from amft_mm.training.companions import Row


def train(config: DictConfig) -> dict[str, Any]:
    """Trains to the end; returns what summary.json holds."""
    config = checked(SCHEMAS["train"], config)
    if config.train.dry_run:
        print(table(config))
        return describe(config)
    refuse_contradictions(config)
    check_splits(config)
    torch.manual_seed(config.seed)
    processes = open_process_group(config)
    path = Path(config.out or default_path(config.env.name, config.method.name, config.seed))
    run = RunFolder(path, config, resume=config.resume, processes=processes)
    try:
        return _train(config, run, processes)
    finally:
        run.close()


def _train(config: DictConfig, run: RunFolder, processes: ProcessGroup) -> dict[str, Any]:
    policy = load_policy(config)
    engine = engine_of(config, policy)
    if config.demos.folder is None and config.demos.n:
        config.demos.folder = str(run.path / "demos")
        if processes.main:
            for part in parts_of(config.env):
                record_demonstrations(config, part)
        processes.wait()
    with Progress(config, run.path, quiet=not processes.main) as progress:
        listeners: list[Callable[[Row], None]] = [progress.tell]
        if processes.main:
            listeners += trackers(config, run.path, films_of_evaluation)
        trainer = Trainer(config, policy, engine, run, processes, listeners)
        if config.resume and trainer.resume():
            progress.say(f"going on after step {trainer.step} of {trainer.last_step}")
        elif config.train.warm_from is not None:
            trainer.warm_from(Path(config.train.warm_from))
        try:
            trainer.train()
        except Stopped:
            progress.say(
                f"stopped after step {trainer.step} of {trainer.last_step}, with a checkpoint; go on by\n"
                f"    amft-mm train resume=true out={quoted(str(run.path))}"
            )
            raise
        except Exception:
            if trainer.whole and processes.main:  # never with several processes
                with policy.gathered():
                    policy.save(run.path / "model")
            raise
        with policy.gathered():
            if processes.main:
                policy.save(run.path / "model")
    return run.summary()


def record_demonstrations(config: DictConfig, part: EnvPart) -> None:
    """The expert's episodes that this run imitates, inside its own folder."""
    own = {
        "env": part.env,
        "n": config.demos.n,
        "seed": config.demos.seed,
        "out": f"{config.demos.folder}/{part.name}",
        "part": 64,
        "seconds": config.play.seconds,
        "keep": {"success": True, "min_return": None, "max_turns": None},
        "slips": config.demos.slips,
        "corrupt": config.demos.corrupt,
        "import_from": None,
        "pictures": None,
    }
    make_demos(OmegaConf.create(own))
