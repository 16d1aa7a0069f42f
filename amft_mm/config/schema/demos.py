"""Settings of `amft-mm demos`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amft_mm.config.fields import setting
from amft_mm.config.schema.parts import (
    MOST,
    OF_THREADS,
    SEEDS,
    Corrupt,
    Limits,
    Model,
    Named,
    Sampling,
)
from amft_mm.config.schema.worlds import world

ALL = 10**7
"""More than there are."""


@dataclass
class Keep:
    success: bool = setting("those that succeed alone")
    min_return: float | None = setting("those of at least this return")
    max_turns: int | None = setting("those of at most so many turns", least=1, most=MOST)


@dataclass
class Demos:
    """Writes demonstrations: episodes of an expert or a model, or chats of a file, as a folder that
    `datasets` opens."""

    env: Any = setting("what is played", schema=world, others=True)
    engine: Named | None = setting(
        "who plays: null is the world's expert; openai, hf or vllm a model, whose successes are kept",
        others=True,
    )
    model: Model = setting("of engine hf and vllm, and whose recipe is followed")
    sampling: Sampling = setting("of a model's answers")
    limits: Limits = setting("of a model's episodes")
    slots: int = setting("episodes at once, where a model plays", least=1, most=100_000)
    threads: int | None = setting(OF_THREADS, least=1, most=4096)
    debug: bool = setting("show where an error came from")
    n: int = setting("demonstrations that are kept; of a file all", least=1, most=ALL)
    seed: int = setting("of the task instances", **SEEDS)
    out: str | None = setting("the folder; null makes demos/<env>-<n>")
    part: int = setting("demonstrations in one file", least=1, most=10**5)
    seconds: float | None = setting(
        "a call of the environment that takes longer costs its episode", above=0
    )
    keep: Keep = setting("which demonstrations are kept")
    slips: float = setting(
        "how often the expert makes a mistake first and mends it", least=0, most=1
    )
    corrupt: Corrupt = setting("bad demonstrations, for studies")
    import_from: str | None = setting("a JSON or JSONL file of chats, instead of playing")
    pictures: str | None = setting(
        "the folder that its picture paths are relative to; null is the file's own"
    )
    push_to_hub: str | None = setting("USER/NAME of a data set on the hub that gets them too")
    hub_private: bool = setting("what is pushed is for you alone")
