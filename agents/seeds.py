"""A seed from several numbers: the same numbers, the same seed, and no two lists near each other."""

from __future__ import annotations

import numpy as np


def mixed_seed(*parts: int) -> int:
    """31 bits, as every library takes them."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0] >> 1)
