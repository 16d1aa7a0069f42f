"""What a step took of the memory that training runs out of, in GiB.

    begin_step(device)   from here on
    peak(device)         the largest so far

On a GPU it is what torch held at once since the step began. On a CPU it is the largest that the process has
been since it began, which the system alone remembers: it never falls.
"""

from __future__ import annotations

import resource
import sys

import torch

GIB = 2**30
UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in which the system counts: macOS by one, Linux by 1024."""


def begin_step(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / GIB
