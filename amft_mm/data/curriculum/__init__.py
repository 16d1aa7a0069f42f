"""Which task instances a step plays: `curriculum(name, ...)` gives a Curriculum, an algorithm a file.

A new one is a subclass (amft_mm/data/curriculum/base.py) and a line in `CURRICULA`, or MODULE:CLASS outside
the suite.
"""

from __future__ import annotations

from typing import Any, cast

from omegaconf import DictConfig

from agents.plugins import make
from amft_mm.config.settings import options_of, parts_of
from amft_mm.data.curriculum.base import Curriculum
from amft_mm.data.curriculum.difficulty import Difficulty
from amft_mm.data.curriculum.sec import SEC
from amft_mm.data.curriculum.variance import Variance

CURRICULA: dict[str, type[Curriculum]] = {
    "uniform": Curriculum,
    "difficulty": Difficulty,
    "variance": Variance,
    "sec": SEC,
}


def curriculum(
    name: str, shares: list[float], pool: int | None, seed: int, settings: dict[str, Any]
) -> Curriculum:
    """`shares` of the run's environments; `pool`: how many task instances each has, None without end."""
    run = {"shares": shares, "pool": pool, "seed": seed}
    made = make("train.curriculum", name, CURRICULA, run | settings, Curriculum)
    return cast(Curriculum, made)


def curriculum_of(config: DictConfig) -> Curriculum:
    """Of a training run; ValueError where its settings are none."""
    chosen, pool = config.train.curriculum, config.train.pool
    shares = [part.share for part in parts_of(config.env)]
    pool = None if pool is None else int(pool)
    return curriculum(chosen.name, shares, pool, int(config.seed), options_of(chosen))


__all__ = ["CURRICULA", "Curriculum", "curriculum", "curriculum_of"]
