"""Where runs take place: `places(jobs)` gives, for each of the processes at once, what its environment adds.

GPUs are dealt in turn, so that each process sees one; which there are is for CUDA_VISIBLE_DEVICES to say.
Without a number of jobs there is one for each GPU, or for each core of a machine that has none.
"""

from __future__ import annotations

import os

from amft_mm.config.threads import cores
from envs.contract import whole_number

VISIBLE = "CUDA_VISIBLE_DEVICES"
Place = dict[str, str]
MOST = 1024


def places(jobs: int | None) -> list[Place]:
    found = gpus()
    if jobs is None:
        jobs = len(found) or cores()
    count = whole_number("jobs", jobs, 1, MOST)
    return [{VISIBLE: found[k % len(found)]} if found else {} for k in range(count)]


def gpus() -> list[str]:
    """By the names that CUDA_VISIBLE_DEVICES knows them by: numbers, or what nvidia-smi -L tells."""
    import torch  # takes seconds, and a plan is made without

    count = torch.cuda.device_count()
    named = os.environ.get(VISIBLE)
    return [str(k) for k in range(count)] if named is None else named.split(",")[:count]
