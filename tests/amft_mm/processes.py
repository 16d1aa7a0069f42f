"""Training by several processes of this machine, which are forked from the test's: nothing is imported anew.

trained(folder, words, processes=2)   the rows of metrics.jsonl, without what the machine said
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.multiprocessing as mp
from accelerate import PartialState

from agents.locate import locate_model
from amft_mm.config.command_line import configuration
from amft_mm.runs.metrics import read_rows
from amft_mm.train import train
from tests.ports import free_port

OF_THE_MACHINE = (
    *("time/rollout", "time/update", "time/meta", "time/rival", "time/step"),
    "memory/peak",
)
SMALL = [
    "model.name=tiny-random",
    "model.device=cpu",
    "threads=1",
    "demos.n=6",
    "train.warmup_steps=1",
    "train.steps=3",
    "train.warmup_demos=3",
    "train.demos=3",
    "train.tasks=3",
    "train.group=2",
    "train.lr=0.001",
    "train.warmup_lr=0.001",
    "eval.every=0",
    "eval.episodes=2",
    "limits.max_new_tokens=8",
    "limits.max_turns=2",
    "record.rollouts=1",
]


def trained(folder, *words, processes=1, out="run"):
    finish(begun(folder, *words, processes=processes, out=out))
    return rows(Path(folder) / out)


def begun(folder, *words, processes=1, out="run"):
    return started(_train, processes, (str(folder), [*SMALL, *words, f"out={out}"]))


def finish(processes):
    while not processes.join():
        pass


def rows(run):
    """Of metrics.jsonl."""
    return [
        {k: v for k, v in row.items() if k not in OF_THE_MACHINE} for row in read_rows(Path(run))
    ]


def mixed(run):
    """Those of the steps that mix, with all that they say."""
    return [row for row in read_rows(Path(run)) if row["phase"] == "mix"]


def started(function, processes, arguments=()):
    """The function in each of so many processes, which know of each other."""
    locate_model("tiny-random")  # is built here, once
    return mp.start_processes(
        _start,
        (function, processes, free_port(), arguments),
        processes,
        join=False,
        start_method="fork",
    )


def _start(rank, function, processes, port, arguments):
    torch.set_num_threads(1)
    PartialState._reset_state()
    if processes > 1:
        own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes}
        own |= {"LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in own.items()})
    function(*arguments)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _train(folder, words):
    os.chdir(folder)
    train(configuration("train", words))
