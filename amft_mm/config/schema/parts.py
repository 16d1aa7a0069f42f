"""Settings that several commands have: model, sampling, limits, how episodes are played."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amft_mm.config.fields import MANY, setting

MOST = MANY
SEEDS = {"least": 0, "most": 2**30 - 1}
"""Of a run: evaluations draw above."""
OF_THREADS = "of a process; null: one for the tiny model, else what the machine has for it"
LARGEST_RATE = 1.0


@dataclass
class Named:
    name: str = setting("which; one of your own is MODULE:NAME")


@dataclass
class Model:
    name: str = setting("tiny, tiny-random, a folder in the Hugging Face layout, or a hub id")
    device: str | None = setting("null is the GPU where there is one")
    dtype: str | None = setting(
        "null is float32 on CPUs, bfloat16 on GPUs", among=("float32", "bfloat16", "float16")
    )
    lora: dict[str, Any] | None = setting(
        "an adapter, as {r: 64, lora_alpha: 128}; null trains all weights"
    )
    freeze_vision: bool = setting("only the language model learns")
    gradient_checkpointing: bool = setting("recompute activations, which takes less memory")
    attention: str | None = setting(
        "transformers' word for its implementation, as sdpa or eager; null is its own choice",
        may_miss=True,
    )
    system: str | None = setting(
        "system prompt; null is the chat format's own, '' an empty one", may_miss=True
    )
    min_pixels: int | None = setting("pictures are scaled up to", least=1, most=MOST)
    max_pixels: int | None = setting("pictures are scaled down to", least=1, most=MOST)
    sizes: dict[str, Any] | None = setting(
        "for train.dry_run=true; null reads the model's config.json"
    )


@dataclass
class Sampling:
    temperature: float = setting("of what is written; 0 is greedy", least=0, most=2)
    top_p: float = setting("the most likely tokens of this share of probability", above=0, most=1)
    top_k: int = setting("the so many most likely tokens; 0 is all", least=0, most=MOST)


@dataclass
class Limits:
    max_tokens: int = setting("of a whole episode, pictures included", least=1, most=MOST)
    max_new_tokens: int = setting("of one answer", least=1, most=10**6)
    max_turns: int = setting("of an episode", least=1, most=10**6)
    history: int | None = setting("turns before that are shown; null is all", least=0, most=10**6)
    thoughts: str = setting(
        "of earlier turns, where the chat template drops them",
        among=("keep", "strip"),
        may_miss=True,
    )


@dataclass
class Play:
    slots: int = setting("episodes at once in a process", least=1, most=100_000)
    workers: int = setting("threads or processes that they are divided among", least=1, most=1024)
    kind: str = setting("what environments run in", among=("threads", "processes"))
    seconds: float | None = setting(
        "a call of the environment that takes longer costs its episode; null is no limit", above=0
    )
    replacements: int = setting("tries after a failure", least=0, most=1000)


@dataclass
class Corrupt:
    share: float = setting("of the demonstrations that are spoilt on purpose", least=0, most=1)
    kind: str = setting(
        "how they are spoilt", among=("wrong_actions", "wrong_answers", "shuffled_pictures")
    )
