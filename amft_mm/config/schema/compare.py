"""Settings of `amft-mm compare`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amft_mm.config.fields import setting
from amft_mm.config.schema.evaluation import Passes
from amft_mm.config.schema.parts import MOST, SEEDS


@dataclass
class Budget:
    every: int = setting("steps between evaluations; 0: at the end alone", least=0, most=MOST)
    episodes: int = setting("of each split", least=1, most=10**7)


@dataclass
class Compare:
    """Compares methods: warm-ups, a search for learning rates, runs of several seeds, and a report."""

    out: str = setting("the folder; what is there is not made again")
    report: str = setting("the folder in `out` that the report is written to")
    render: bool = setting(
        "train nothing: make the report anew from the JSON files in `out`, whatever settings made them"
    )
    only: dict[str, Any] = setting(
        "what such a report is of, as {envs: [math], methods: [sft, amft], conditions: [clean]}; {}: all"
    )
    envs: list[str] = setting("environments, each with a budget below")
    methods: list[str] = setting("methods, or variants below")
    baselines: list[str] = setting("methods that the report compares the others with")
    seeds: int = setting("runs of each method", least=1, most=10_000)
    more_seeds: dict[str, int] = setting(
        "runs of some methods; {...} takes the place of the usual ones, {} is none, more_seeds.NAME=8 adds",
        least=1,
        most=10_000,
        whole=True,
    )
    max_seeds: int | None = setting(
        "where a method and a baseline are not told apart, both get seeds up to so many; null: no more",
        least=1,
        most=10_000,
    )
    worth: float = setting(
        "a difference of success that is worth knowing: what is within it needs no more seeds",
        above=0,
        most=1,
    )
    pilot: str | None = setting(
        "the folder of another comparison, whose runs say beforehand what this one can tell; null: `out`"
    )
    tune_seed: int = setting("of the trials", **SEEDS)
    trial_length: float = setting("the steps of a trial, as a share of a run's", above=0, most=1)
    jobs: int | None = setting(
        "processes at once; null: one for each GPU or core", least=1, most=1024
    )
    shard: str = setting("which part of how many, as 2/8")
    search: dict[str, Any] = setting(
        "what is tried for every method, as {train.lr: [0.0001, 0.001]}"
    )
    variants: dict[str, Any] = setting("methods that are no presets, by their names")
    conditions: dict[str, Any] = setting(
        "settings that are changed, by their names: env, model, limits, train.warmup* from the beginning, "
        "all else after the warm-up"
    )
    eval: Budget = setting("unless a budget says otherwise")
    passes: Passes | None = setting(
        "sampled tries of warm-ups and runs at their end, for pass@k; null: none"
    )
    replay: bool = setting(
        "keep what the first seed's runs played at the end, for a page with episodes of each method"
    )
    budgets: dict[str, Any] = setting("settings of each environment")
