"""The processes that train together: who they are, and what they add up.

Started alone, a process is a group of one and everything here is free. Started by
`torchrun --nproc_per_node N -m ...` or `accelerate launch --num_processes N -m ...` the processes share
each step's examples, and the sums below make their update the one that a single process would make.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TypeVar, cast

import torch
import torch.distributed as distributed
from accelerate import PartialState
from accelerate.utils import gather_object, reduce
from torch.distributed.tensor import DTensor

Part = TypeVar("Part")


class ProcessGroup:
    def __init__(self, *, cpu: bool = True) -> None:
        if (
            not cpu
            and int(os.environ.get("WORLD_SIZE", "1")) > 1
            and not distributed.is_initialized()
        ):
            # What is in main memory, since it was offloaded or is to be saved, is added up as well.
            distributed.init_process_group("cpu:gloo,cuda:nccl")
        self._state = PartialState(cpu=cpu)
        self.rank: int = self._state.process_index
        self.size: int = self._state.num_processes

    @property
    def main(self) -> bool:
        return bool(self._state.is_main_process)

    def mine(self, parts: Sequence[Part]) -> list[Part]:
        """The parts that are this process's to do."""
        return list(parts[self.rank :: self.size])

    def together(self) -> None:
        """A process that is alone becomes a group of one, for what is written for groups."""
        if not distributed.is_initialized():
            distributed.init_process_group(
                "gloo", store=distributed.HashStore(), rank=0, world_size=1
            )

    def for_background(self) -> distributed.ProcessGroup | None:
        """The same processes over connections of their own, for what goes on beside training; None where
        there is only this one. All ask at once."""
        if not distributed.is_initialized():
            return None
        return cast(distributed.ProcessGroup, distributed.new_group(backend="gloo"))

    def sum(self, *numbers: float) -> list[float]:
        return self._over_all(numbers, "sum")

    def most(self, *numbers: float) -> list[float]:
        """The largest of all processes', of each."""
        return self._over_all(numbers, "max")

    def _over_all(self, numbers: Sequence[float], what: str) -> list[float]:
        if self.size == 1:
            return list(numbers)
        tensor = torch.tensor(numbers, dtype=torch.float64, device=self._state.device)
        found: list[float] = reduce(tensor, what).tolist()
        return found

    def gather(self, parts: Sequence[Part]) -> list[Part]:
        """Everybody's parts, in the order in which `mine` dealt them out."""
        if self.size == 1:
            return list(parts)
        dealt: list[list[Part]] = gather_object([list(parts)])
        longest = max(len(hand) for hand in dealt)
        return [hand[i] for i in range(longest) for hand in dealt if i < len(hand)]

    def share_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """The sum over all processes; None where none has any, as in one process alone: an optimizer leaves
        that parameter as it is. Sharded parameters come summed already."""
        if self.size == 1:
            return
        whole = [p for p in parameters if p.requires_grad and not isinstance(p, DTensor)]
        there = self.most(*(float(p.grad is not None) for p in whole))
        whole = [p for p, found in zip(whole, there, strict=True) if found]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in whole]
        for parameter, gradient in zip(whole, reduce(gradients, "sum"), strict=True):
            parameter.grad = gradient

    def wait(self) -> None:
        self._state.wait_for_everyone()
