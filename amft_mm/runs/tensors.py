"""Tensors by name in a folder, each process writing and reading what it holds: torch.distributed.checkpoint,
in safetensors, which hold no code.

    saving = save(folder, tensors, group)   copies them, then writes in the background; saving.result() waits
    keep(folder, tensors)                   waits, and leaves all of them there or nothing
    load(folder, like)                      all of them, or those whose names begin with `under`

What was written by some number of processes is read by any other. `like(name, shape)` is a tensor as the one
that is wanted: sharded as it is, on its device; None is a whole one in main memory.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as distributed
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)

# It means this process to be alone, as it is said to be.
warnings.filterwarnings("ignore", message="torch.distributed is disabled")

FAILURES = (Exception, CheckpointException)
"""What it may raise; the latter, which stands for any in a process, is no Exception."""
Like = Callable[[str, torch.Size], torch.Tensor | None]
FILE_BYTES = 2 * 2**30
"""Of a file, about: each is put together in memory before it is written."""


def save(
    folder: Path, tensors: Mapping[str, torch.Tensor], group: distributed.ProcessGroup | None
) -> Future[Any]:
    """`group`: over which processes agree, none other's business going over it meanwhile; None is this one
    alone. Its failure is all processes'."""
    if group is None or distributed.get_rank(group) == 0:
        shutil.rmtree(folder, ignore_errors=True)  # others may have written there, and were stopped
        folder.mkdir(parents=True)
    if group is not None:
        distributed.barrier(group)
    writer = HuggingFaceStorageWriter(
        str(folder), fqn_to_index_mapping=_in_files(tensors), save_distributed=True
    )
    found = dcp.async_save(
        dict(tensors), storage_writer=writer, process_group=group, no_dist=group is None
    )
    return cast("Future[Any]", found)


def keep(folder: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """All processes at once."""
    group = distributed.group.WORLD if distributed.is_initialized() else None
    unfinished = folder.with_name(f".unfinished-{folder.name}")
    try:
        save(unfinished, tensors, group).result()
    except FAILURES:
        shutil.rmtree(unfinished, ignore_errors=True)  # which may be what fills a disk
        raise
    if group is None or distributed.get_rank() == 0:
        os.replace(unfinished, folder)
    if group is not None:
        distributed.barrier()


def load(folder: Path, like: Like, under: str = "") -> dict[str, torch.Tensor]:
    reader = HuggingFaceStorageReader(str(folder))
    there = {
        n: m for n, m in reader.read_metadata().state_dict_metadata.items() if n.startswith(under)
    }
    tensors: dict[str, Any] = {}
    for name, found in there.items():
        shape, dtype = found.size, found.properties.dtype  # type: ignore[union-attr]
        wanted = like(name, shape)
        tensors[name] = (
            torch.empty(shape, dtype=dtype)
            if wanted is None
            else torch.empty_like(wanted, dtype=dtype, requires_grad=False)
        )
    if tensors:
        dcp.load(tensors, storage_reader=reader, no_dist=not distributed.is_initialized())
    return tensors


def _in_files(tensors: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """Which of the files each is in, from 1."""
    places, size = {}, 0
    for name, tensor in tensors.items():
        places[name] = 1 + size // FILE_BYTES
        size += tensor.numel() * tensor.element_size()
    return places
