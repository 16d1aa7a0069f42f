"""Settings of `amft-mm pretrain`."""

from __future__ import annotations

from dataclasses import dataclass

from amft_mm.config.fields import setting
from amft_mm.config.schema.parts import LARGEST_RATE, MOST, SEEDS


@dataclass
class Stage:
    steps: int = setting("of the stage", least=1, most=MOST)
    fall: int = setting("steps at its end in which the learning rate falls", least=0, most=MOST)
    batch: dict[str, int] = setting("exercises a step, by their kinds", least=0, most=MOST)
    lr: float = setting("learning rate", above=0, most=LARGEST_RATE)
    muon: float = setting("Muon's learning rate in AdamW's; 0 leaves all to AdamW", least=0)


@dataclass
class Pretrain:
    """Remakes the tiny model from nothing, in stages."""

    seed: int = setting("of everything random", **SEEDS)
    out: str = setting("the folder of the model")
    start: str | None = setting("a model to go on from; only the last two stages are then made")
    only: list[str] | None = setting("some of the stages below")
    seeing: Stage = setting("the vision tower alone learns what is where in scenes")
    copying: Stage = setting("the language model alone learns to say again what was said")
    reading: Stage = setting("and from all exercises in words")
    together: Stage = setting("the whole model")
    settling: Stage = setting("the whole model again, while the learning rate falls")
    warmup: int = setting(
        "steps in which the learning rate rises, in each stage", least=0, most=MOST
    )
    weight_decay: float = setting("of AdamW", least=0, most=10)
    clip: float = setting("of the gradient's norm", above=0)
    threads: int = setting("of a process", least=1, most=4096)
    log_every: int = setting("steps; a checkpoint is written too", least=1, most=MOST)
    exam: int = setting("exercises of each kind at every log line", least=1, most=MOST)
    exam_at_the_end: int = setting(
        "questions of each kind, episodes of each world", least=1, most=MOST
    )
