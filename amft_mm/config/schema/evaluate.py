"""Settings of `amft-mm evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amft_mm.config.fields import setting
from amft_mm.config.schema.evaluation import EvaluationAlone
from amft_mm.config.schema.parts import OF_THREADS, Limits, Model, Named, Play, Sampling
from amft_mm.config.schema.worlds import world


@dataclass
class Evaluate:
    """Evaluates an agent on every split, with intervals: of a run, or of any model on any environment."""

    run: str | None = setting(
        "the folder of a training run: its model, environment and settings are taken"
    )
    checkpoint: Any = setting("of the run: last, best or a step")
    out: str | None = setting(
        "the folder to write; null is <run>/evaluation, or evaluation-<env>-<model>"
    )
    threads: int | None = setting(OF_THREADS, least=1, most=4096)
    debug: bool = setting("show where an error came from")
    env: Any = setting("what is played", schema=world, others=True)
    model: Model = setting("who plays")
    engine: Named = setting("what writes the answers: hf, vllm, openai", others=True)
    eval: EvaluationAlone = setting("how much is played")
    record: int = setting(
        "episodes of each split that are kept, with their pictures", least=0, most=10**6
    )
    table: bool = setting("print a row of figures to paste beside others'")
    sampling: Sampling = setting("of a run's rollouts; evaluations go by eval.temperature")
    limits: Limits = setting("of episodes")
    play: Play = setting("how episodes are played")
