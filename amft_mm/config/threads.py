"""Threads of a process: a command asks for one, since worlds, pictures and numpy gain nothing by several. The
model gets its own number later (amft_mm/config/players.py).

Nothing else is imported here: OMP_NUM_THREADS has to be there before numpy and torch are loaded.
"""

from __future__ import annotations

import os

VARIABLE = "OMP_NUM_THREADS"
ASKED = os.environ.get(VARIABLE, "")
"""By the user, who is heeded for the model too."""


def one_where_none_is_asked() -> None:
    os.environ.setdefault(VARIABLE, "1")


def cores() -> int:
    """That this process may use: a batch system or a container may give it fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
