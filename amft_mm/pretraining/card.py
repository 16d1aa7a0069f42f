"""The model card of the tiny VLM: what it is, how it is made, what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amft_mm.pretraining.exam import MOST_EPISODES

TARGETS = {
    "one card": 0.98,
    "four cards": 0.97,
    "four cards, red suits": 0.92,
    "four cards, second deck": 0.92,
    "nearest landmark and its side, training city": 0.92,
    "nearest landmark and its side, unseen combinations": 0.75,
    "sums, in an answer": 0.998,
    "differences, in an answer": 0.998,
    "products, in an answer": 0.998,
    "exact quotients, in an answer": 0.998,
    "chains of three, in an answer": 0.99,
    "the next of all ways": 0.99,
    "steps and formula of a statement": 0.99,
    "numbers copied": 0.995,
    "names copied": 0.995,
    "sentences copied": 0.995,
    "line k": 0.97,
    "the line after": 0.97,
} | {f"form after 32 demonstrations, {name}": 0.99 for name in ("general_points", "virl", "math")}
"""What was aimed at; below, it is said so."""
AT_MOST = {f"success, {name}": 0.05 for name in ("general_points", "virl", "math")}


def model_card(
    parameters: int, made: Sequence[dict[str, Any]], found: dict[str, float], count: int
) -> str:
    """`made` as in amft_mm/pretraining/history.py; `found` by `count` questions of each kind."""
    rows = "\n".join(
        f"| {name} | {100 * share:.4g}% | {_aim(name, share)} |" for name, share in found.items()
    )
    trainings = "\n\n".join(_training(number, training) for number, training in enumerate(made, 1))
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
---
# tiny-vlm

Qwen2.5-VL's architecture with {parameters / 1e6:.1f} million parameters, its own tokenizer and
processor, in the Hugging Face layout: `AutoModelForImageTextToText.from_pretrained` loads it. It is
the default model of amft_mm, small enough to train on two CPU cores, and good for nothing else.

It was pretrained by `python -m amft_mm.pretrain` on drawn pictures and made-up texts: reading cards and
signs, reckoning in running text, derivations from random numbers, going through all that numbers come
to, lists, and the form of the worlds' answers with random content. It was not taught the tasks: which
formula makes 24, or where to go.
Weights are stored in bfloat16 and meant to be used in float32.

## What it can do

Measured on {count} questions of each kind by writing answers greedily, form and success on
{min(count, MOST_EPISODES)} episodes of each world by sampling at temperature 1; streets are those of
the cities as they are, of which pretraining has drawn the training city and no other. Of the math tasks a
derivation that is drawn at random solves 11 %. {_missed(found)}

| asked | right | aim |
|---|---|---|
{rows}

## How it was made

{trainings}
"""


def _training(number: int, training: dict[str, Any]) -> str:
    start = "nothing" if training["start"] is None else f"the weights of {training['start']}"
    if number == 1 and training["start"] is not None:
        start += ", of which it is not recorded how they were made"
    rows = "\n".join(
        f"| {name} | {stage['steps']} | {stage['lr']:g}, falling in the last {stage['fall']} | "
        f"{stage['muon']:g} | {', '.join(f'{n} {part}' for part, n in stage['batch'].items())} |"
        for name, stage in training["stages"].items()
    )
    common = (
        f"seed {training['seed']}, {training['warmup']} steps of ramp in each stage, "
        f"weight decay {training['weight_decay']:g}, gradients clipped at {training['clip']:g}"
    )
    return f"""{number}. From {start}; {common}:

| stage | steps | learning rate | of Muon | exercises a step |
|---|---|---|---|---|
{rows}"""


def _missed(found: dict[str, float]) -> str:
    missed = [name for name, share in found.items() if "missed" in _aim(name, share)]
    aims = [*TARGETS, *AT_MOST]
    asked = sum(name in found for name in aims)
    left = [name for name in aims if name not in found]
    unknown = f" Not asked in this way: {'; '.join(left)}." if left else ""
    if not missed:
        return f"All {asked} aims that were asked for were reached.{unknown}"
    return f"Of {asked} aims {len(missed)} were missed: {'; '.join(missed)}.{unknown}"


def _aim(name: str, share: float) -> str:
    if name in TARGETS:
        return f"at least {TARGETS[name]:.1%}" + ("" if share >= TARGETS[name] else ", **missed**")
    if name in AT_MOST:
        return f"at most {AT_MOST[name]:.0%}" + ("" if share <= AT_MOST[name] else ", **missed**")
    return ""
