"""Settings of evaluations, by `amft-mm evaluate` and while a run trains."""

from __future__ import annotations

from dataclasses import dataclass

from amft_mm.config.fields import setting
from amft_mm.config.schema.parts import MOST, SEEDS


@dataclass
class Evaluation:
    episodes: int = setting("of each split", least=1, most=10**7)
    splits: list[str] | None = setting("null is the first of the environment's")
    tries: int = setting("1 is greedy; more are sampled, for pass@k", least=1, most=10**5)
    temperature: float = setting("of several tries", least=0, most=2)
    seed: int = setting("of the task instances", **SEEDS)


@dataclass
class EvaluationAlone(Evaluation):
    splits: list[str] | None = setting("null is all of the environment's")
    in_order: bool = setting("instances are those of the seeds 0, 1, 2, ..., each once")


@dataclass
class Quick:
    minutes: float | None = setting("of the warm-up before the first; null: none", above=0)
    episodes: int = setting("of each split, greedy", least=1, most=10**6)
    share: float = setting("of the time that they may take", above=0, most=0.5)


@dataclass
class Passes:
    tries: int = setting("of a task instance, sampled", least=2, most=1000)
    episodes: int = setting("task instances of each split", least=1, most=10**6)


@dataclass
class EvaluationWhileTraining(Evaluation):
    every: int = setting("steps; 0: at the end alone", least=0, most=MOST)
    quick: Quick = setting("small evaluations by the clock while it warms up")
    validation: str | None = setting(
        "a split, or ood for the first such, that tells the weights a run ends with and is not reported"
    )
    passes: Passes | None = setting(
        "sampled tries at the end for pass@k, as {tries:16,episodes:50}; null: none"
    )
