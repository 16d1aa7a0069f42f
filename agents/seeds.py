"""A seed from several numbers: the same numbers, the same seed, and no two lists near each other.

Zeros at the end count for nothing: (1, 2) and (1, 2, 0) are the same.
"""

from __future__ import annotations

import numpy as np


def demonstration_seed(seed: int, number: int) -> int:
    """Of the task instance of a demonstration. Four numbers, and a last one that is not 0: those of a step's
    tasks are three (agents/rollout.py), and any of them would be some task's of step `number`."""
    return mixed_seed(seed, number, 0, 29)


def mixed_seed(*parts: int) -> int:
    """31 bits, as every library takes them."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0] >> 1)
