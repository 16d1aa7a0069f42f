"""The processes that train together: who they are, and what they add up.

Started alone, a process is a group of one and everything here is free. Started by
`torchrun --nproc_per_node N -m ...` or `accelerate launch --num_processes N -m ...` the processes share
each step's examples, and the sums below make their update the one that a single process would make.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as distributed
from accelerate import PartialState
from torch.distributed.tensor import DTensor

Part = TypeVar("Part")


class ProcessGroup:
    def __init__(self, *, cpu: bool = True) -> None:
        self._state = PartialState(cpu=cpu)
        self.rank: int = self._state.process_index
        self.size: int = self._state.num_processes

    @property
    def main(self) -> bool:
        return bool(self._state.is_main_process)

    def mine(self, parts: Sequence[Part]) -> list[Part]:
        """The parts that are this process's to do."""
        return list(parts[self.rank :: self.size])

    def sum(self, *numbers: float) -> list[float]:
        if self.size == 1:
            return list(numbers)
        tensor = torch.tensor(numbers, dtype=torch.float64, device=self._state.device)
        distributed.all_reduce(tensor)
        return tensor.tolist()

    def gather(self, parts: Sequence[Part]) -> list[Part]:
        """Everybody's parts, in the order in which `mine` dealt them out."""
        if self.size == 1:
            return list(parts)
        dealt: list[Any] = [None] * self.size
        distributed.all_gather_object(dealt, list(parts))
        longest = max(len(hand) for hand in dealt)
        return [hand[i] for i in range(longest) for hand in dealt if i < len(hand)]

    def share_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """The sum over all processes, in one message. Sharded parameters come summed already."""
        if self.size == 1:
            return
        whole = [p for p in parameters if p.requires_grad and not isinstance(p, DTensor)]
        if not whole:
            return
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in whole]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(together)
        parts = together.split([p.numel() for p in whole])
        for parameter, gradient in zip(whole, parts, strict=True):
            parameter.grad = gradient.view_as(parameter)

    def wait(self) -> None:
        self._state.wait_for_everyone()
