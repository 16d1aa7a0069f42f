"""The model card beside a trained model, written from what the run's folder holds.

    model_card(config, words, summary, rows)     Markdown with the head that the hub reads

`words` are those of the command that makes the run anew, `summary` is summary.json, `rows` the metrics.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig

import amft_mm
from amft_mm.runs.metrics import is_step


def model_card(
    config: DictConfig,
    words: Sequence[str],
    summary: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
) -> str:
    steps = [row for row in rows if is_step(row)]
    asked = config.train.warmup_steps + config.train.steps
    made = steps[-1]["step"] if steps else 0
    ended = "" if made >= asked else f" It ended early, after {made} of {asked} steps."
    return f"""---
{yaml.safe_dump(_head(config), sort_keys=False).strip()}
---
# {_line(config.env.name)}, {_line(config.method.name)}

`{_line(config.model.name)}`, trained on `{_line(config.env.name)}` by
amft_mm {amft_mm.__version__}.{ended}

## How well it does

{_success(summary)}

## How it was trained

| | |
|---|---|
{_table(_method(config) | _data(config, steps))}

## The command

    {command(words)}
"""


def command(words: Sequence[str]) -> str:
    return " \\\n      ".join(["amft-mm train", *map(shlex.quote, words)])


def _head(config: DictConfig) -> dict[str, Any]:
    name, lora = str(config.model.name), config.model.lora is not None
    head: dict[str, Any] = {"library_name": "peft" if lora else "transformers"}
    sees = config.env.get("modality") == "visual" or "parts" in config.env
    head["pipeline_tag"] = "image-text-to-text" if sees else "text-generation"
    if name.count("/") == 1 and not Path(name).exists():
        head["base_model"] = name
    head["tags"] = ["amft_mm", _line(config.env.name), _line(config.method.name)]
    return head


def _success(summary: Mapping[str, Any]) -> str:
    """Of the last evaluation, with 95 % intervals."""
    if not summary.get("splits"):
        return "It was not evaluated."
    lines = ["| split | success | 95 % interval |", "|---|---|---|"]
    for split in summary["splits"]:
        share, low, high = (summary.get(f"eval/{split}/{k}") for k in ("success", "low", "high"))
        if share is None:
            lines.append(f"| {_line(split)} | every episode crashed | |")
        else:
            lines.append(f"| {_line(split)} | {share:.1%} | {low:.1%} to {high:.1%} |")
    how = "greedily" if summary["tries"] == 1 else f"{summary['tries']} times each, by sampling"
    return "\n".join(lines) + (
        f"\n\nOf the weights of {summary['weights']}: {summary['episodes']} episodes of each split, "
        f"played {how}, task instances of seed {summary['seed']}. It is one run; another of the same "
        "settings may differ by more than the intervals, which are of the episodes alone."
    )


def _method(config: DictConfig) -> dict[str, Any]:
    method, train = config.method, config.train
    about = f": {method.about}" if method.get("about") else ""
    return {
        "method": f"{method.name}{about}",
        "imitation, exploration": f"{method.imitation.name}, {method.exploration.name}",
        "the mix of the two": method.balance.name,
        "steps": f"{train.warmup_steps} of warm-up by imitation, then {train.steps}",
        "learning rate": f"{train.warmup_lr:g} in the warm-up, then {train.lr:g}",
        "a step": f"{train.tasks} task instances of {train.group} episodes, {train.demos} demonstrations",
        "weights that were trained": "all" if config.model.lora is None else "a LoRA adapter",
        "seed": config.seed,
    }


def _data(config: DictConfig, steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    demos, read = config.demos, sum(row.get("tokens/demo") or 0 for row in steps)
    data = f"{demos.n} episodes of the world's expert" if demos.n else "none"
    if demos.folder is not None:
        data = f"`{Path(demos.folder).name}`"
    if demos.corrupt.share:
        data += f", {demos.corrupt.share:.0%} of them spoilt on purpose ({demos.corrupt.kind})"
    played = sum(row.get("tokens/generated") or 0 for row in steps)
    return {
        "demonstrations": data,
        "tokens": f"{read:,.0f} of demonstrations learnt from, {played:,.0f} of answers written",
    }


def _table(cells: Mapping[str, Any]) -> str:
    return "\n".join(f"| {name} | {_line(value)} |" for name, value in cells.items())


def _line(value: Any) -> str:
    """In a cell of a table: a name may hold anything."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")
