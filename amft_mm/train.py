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

import shlex
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from amft_mm.config.command_line import quoted
from amft_mm.config.dry_run import describe, table
from amft_mm.config.fields import shown
from amft_mm.runs.hub import HubError
from amft_mm.runs.progress import Progress
from amft_mm.trainer import Stopped, Trainer, checked_run


def train(config: DictConfig) -> dict[str, Any]:
    """Trains to the end; returns what summary.json holds."""
    if config.train.dry_run:
        config = checked_run(config)
        print(table(config))
        return describe(config)
    with Trainer.of(config) as trainer:
        path, quiet = trainer.run.path, not trainer.processes.main
        with Progress(config, path, quiet=quiet) as progress:
            trainer.listeners.insert(0, progress.tell)
            if trainer.resumed:
                progress.say(f"going on after step {trainer.step} of {trainer.last_step}")
                for name, value in trainer.run.newer.items():
                    progress.say(f"it began before there was {name}: {name}={shown(value)}")
            try:
                summary = trainer.train()
            except HubError as error:
                raise HubError(
                    f"{error}. The run is whole; push it again by\n"
                    f"    {_going_on(path)} push_to_hub={config.push_to_hub}"
                ) from error
            except Stopped:
                progress.say(
                    f"stopped after step {trainer.step} of {trainer.last_step}, with a checkpoint; go on by\n"
                    f"    {_going_on(path)}"
                )
                raise
            for address in trainer.pushed:
                progress.say(f"pushed to {address}")
            return summary


def _going_on(path: Path) -> str:
    """As a shell takes it."""
    return shlex.join(["amft-mm", "train", "resume=true", f"out={quoted(str(path))}"])
