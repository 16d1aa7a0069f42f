"""Which of the processes that train together this is; alone, where torch.distributed has not been begun."""

from __future__ import annotations

from typing import TypeVar

from torch import distributed

Value = TypeVar("Value")


def several() -> bool:
    return distributed.is_available() and distributed.is_initialized() and world_size() > 1


def world_size() -> int:
    return distributed.get_world_size()


def is_first() -> bool:
    return not several() or distributed.get_rank() == 0


def wait() -> None:
    """Until all processes have come here."""
    if several():
        distributed.barrier()


def from_first(value: Value) -> Value:
    """What the first process has; all processes come here, and none goes on before all have come."""
    if not several():
        return value
    wait()
    shared = [value]
    distributed.broadcast_object_list(shared, src=0)
    return shared[0]
