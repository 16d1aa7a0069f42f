"""What demonstrations can not be used for: guidance, streams made of rollouts, where they come from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig

from agents.demonstrations import Demonstration
from amft_mm.config.fields import shown
from amft_mm.config.settings import EnvPart, demonstrations_of, parts_of, world_of
from amft_mm.methods.combinations.asked import guidance_of, guides, streams
from amft_mm.methods.parts import mixed_parts

FORM = ("modality", "mode", "actions", "order", "answer", "thought", "instruction_as", "source")
"""Options of worlds that say how a task is shown and in which form it is answered: demonstrations that
differ in one teach what the run does not play. Others may differ, such as which instances there are (split,
city, hands), their wording and looks (prompts, deck, size), and what is paid for them."""


def guided(config: DictConfig) -> Iterator[str]:
    method, name = config.method, config.method.guidance.name
    guide = guidance_of(config)
    guide.rounds(config.train.group)  # has to divide it
    if not guides(config):
        return
    by_difficulty = method.mu_per == "difficulty" and name == "shown"
    if (method.mu_per and not by_difficulty) or method.credit.credit == "gae":
        yield (
            f"method.guidance.name={name} goes neither with method.mu_per={method.mu_per} nor with "
            "credit by gae"
        )
    if guide.sets_mu and method.balance.name != "rl":
        yield (
            f"method.guidance.name={name} says by itself what is imitated, and method.balance.name="
            f"{method.balance.name} would do nothing: take method.balance.name=rl, as method={name} does"
        )
    if name == "failing" and not _imitates(config):
        yield (
            "method.guidance.name=failing chooses what is imitated, and method.balance.name="
            f"{method.balance.name} imitates nothing: take another balance, as method=failing does, or "
            "method.guidance.name=none"
        )
    if guide.shown and not guide.sets_mu and config.train.group < 2:
        yield (
            f"train.group={config.train.group}: method.guidance.name={name} gives demonstrations to some "
            "members of a group, beside others that explore. Take at least 2"
        )


def unimitated(config: DictConfig) -> Iterator[str]:
    """A loss of imitation where nothing is imitated: the warm-up has its own."""
    name = config.method.imitation.name
    if config.train.steps and name != "sft" and not _imitates(config) and not guides(config):
        yield (
            f"method.imitation.name={name} would do nothing: method.balance.name="
            f"{config.method.balance.name} never imitates, and the warm-up is sft's. Leave it out, or take "
            "another balance"
        )


def streamed(config: DictConfig) -> Iterator[str]:
    """Streams are made of rollouts, where guidance may have none or choose among them."""
    name, guide = config.method.imitation.name, config.method.guidance.name
    if not streams(config):
        return
    if guide in ("hpt", "relift", "superrl", "failing"):
        yield (
            f"method.imitation.name={name} learns from rollouts, and method.guidance.name={guide} imitates "
            "demonstrations: take another imitation or none"
        )
    if config.limits.get("history") is not None:
        yield (
            f"method.imitation.name={name} reads whole episodes, and limits.history={config.limits.history} "
            "shows windows of them: limits.history=null"
        )
    if config.limits.get("thoughts") == "strip":
        yield (
            f"method.imitation.name={name} reads whole episodes, and limits.thoughts=strip shows windows "
            "of them: limits.thoughts=keep"
        )
    if name == "sdft" and not guidance_of(config).shown:
        yield (
            f"method.imitation.name=sdft reads demonstrations of what is explored, and "
            f"method.guidance.name={guide} shows none: method.guidance.name=shown does"
        )


def demonstrated(config: DictConfig) -> Iterator[str]:
    demos = config.demos
    if demos.folder and (demos.slips or demos.corrupt.share):
        yield (
            "demos.slips and demos.corrupt are of demonstrations that the run records itself; those of "
            f"demos.folder={demos.folder} are taken as they are (python -m amft_mm.demos spoils some)"
        )
    if not demos.folder and not demos.n and (config.train.warmup_steps or guides(config)):
        wants = "method.guidance" if guides(config) else "train.warmup_steps"
        yield _none(wants)
    elif not demos.folder and not demos.n and not streams(config) and _imitates(config):
        yield _none(f"method.balance.name={config.method.balance.name}")
    if demos.folder:
        yield from _of_another_world(config)


def _imitates(config: DictConfig) -> bool:
    """Whether the balance does, at any step."""
    parts, steps = mixed_parts(config), range(config.train.steps)
    return any(part.balance.needs_both or part.mu(k) > 0 for part in parts for k in steps)


def _none(wants: str) -> str:
    return (
        f"demos.n=0, but {wants} wants demonstrations: train.warmup_steps=0 and a method that explores "
        "alone, such as method=grpo, need none"
    )


def _of_another_world(config: DictConfig) -> Iterator[str]:
    """By the first of each folder; the others are told when they are drawn."""
    for part in parts_of(config.env):
        row = demonstrations_of(config.demos.folder, part)[0]
        if row.world != part.env.id and guides(config):
            yield (
                f"method.guidance.name={config.method.guidance.name} explores the task instances of its "
                f"demonstrations, but {row.name} in demos.folder={config.demos.folder} is of "
                f"{row.world or 'no world'}, not of {part.env.id}"
            )
        elif row.world not in ("", part.env.id):
            yield (
                f"demos.folder={config.demos.folder} holds demonstrations of {row.world}, and env="
                f"{part.name} is {part.env.id}: take its own, or the environment that they are of"
            )
        elif other := _other_options(row, part, all_of_them=guides(config)):
            where = f"env.parts.{part.name}." if "parts" in config.env else "env."
            differ = ", ".join(f"{name}={theirs} and not {ours}" for name, theirs, ours in other)
            words = " ".join(f"{where}{name}={theirs}" for name, theirs, _ in other)
            yield (
                f"demos.folder={config.demos.folder} holds demonstrations of {part.name} by other settings "
                f"than the run's: {differ}. Play it so, by {words}, or take other demonstrations (amft-mm "
                "demos with the same env= and model= writes those of the recipe)"
            )


def _other_options(
    row: Demonstration, part: EnvPart, *, all_of_them: bool
) -> list[tuple[str, str, str]]:
    """Name, value in the demonstration, value in the run; of options that both tell. `all_of_them`: task
    instances are played again by their seeds, which are others by any other option."""
    there, here = _options(row.options), world_of(part.env).options
    names = [name for name in here if name in there and (all_of_them or name in FORM)]
    return [
        (name, shown(there[name])[:80], shown(here[name])[:80])
        for name in names
        if there[name] != here[name]
    ]


def _options(text: str) -> dict[str, Any]:
    """What a file says; nothing where it says nothing that is read."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
