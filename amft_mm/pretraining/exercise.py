"""One exercise: a short conversation with right (or random) answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.contract import Image

Rng = np.random.Generator


@dataclass(frozen=True)
class Turn:
    """What is shown and said, and what the model shall answer."""

    text: str
    image: Image | None
    answer: str


Exercise = list[Turn]


def pick(rng: Rng, options: Any) -> Any:
    return options[int(rng.integers(len(options)))]
