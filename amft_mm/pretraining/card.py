"""The model card of the tiny VLM: what it is, how it is made, what was measured."""

from __future__ import annotations

from typing import Any

TARGETS = {
    "one card": 0.98,
    "four cards": 0.95,
    "four cards, red suits": 0.90,
    "four cards, second deck": 0.90,
    "nearest landmark and its side, training city": 0.90,
    "nearest landmark and its side, unseen combinations": 0.70,
    "sums and products of two numbers": 0.98,
    "form of answers, general_points": 0.99,
    "form of answers, virl": 0.99,
    "form of answers, math": 0.99,
}
"""What was aimed at; below, it is said so."""
AT_MOST = {f"success, {name}": 0.10 for name in ("general_points", "virl", "math")}


def model_card(
    parameters: int, settings: dict[str, Any], found: dict[str, float], count: int
) -> str:
    rows = "\n".join(
        f"| {name} | {share:.1%} | {_aim(name, share)} |" for name, share in found.items()
    )
    chosen = ", ".join(f"{name} {value}" for name, value in settings.items())
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
---
# tiny-vlm

Qwen2.5-VL's architecture with {parameters / 1e6:.1f} million parameters, its own tokenizer and
processor, in the Hugging Face layout: `AutoModelForImageTextToText.from_pretrained` loads it. It is
the default model of amft_mm, small enough to train on two CPU cores, and good for nothing else.

It was pretrained from nothing by `python -m amft_mm.pretrain` ({chosen}) on drawn pictures and made-up
texts: reading cards and signs, small sums, lists, and the form of the worlds' answers with random
content. It was not taught the tasks: which formula makes 24, or where to go. Weights are stored in
bfloat16 and meant to be used in float32.

Measured on {count} questions or episodes each, by writing answers greedily (form and success by
sampling at temperature 1); streets are those of the cities as they are, which pretraining never drew:

| asked | right | aim |
|---|---|---|
{rows}
"""


def _aim(name: str, share: float) -> str:
    if name in TARGETS:
        return f"at least {TARGETS[name]:.0%}" + ("" if share >= TARGETS[name] else ", **missed**")
    if name in AT_MOST:
        return f"at most {AT_MOST[name]:.0%}" + ("" if share <= AT_MOST[name] else ", **missed**")
    return ""
