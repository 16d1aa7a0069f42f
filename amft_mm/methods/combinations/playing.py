"""What can not be played so: engines, task instances and groups, what the model is shown."""

from __future__ import annotations

import os
from collections.abc import Iterator

from omegaconf import DictConfig

from agents.loading import reads_alone
from amft_mm.config.settings import parts_of
from amft_mm.methods.combinations.asked import guidance_of, guides, noise
from amft_mm.methods.parts import mixed_parts

UNBALANCED = {
    "sft": "mixes nothing",
    "rl": "mixes nothing",
    "sft_then_rl": "has one of them at a time",
    "norm_matching": "does that itself",
    "mgda": "would be a half of each whatever they are",
    "sasr": "goes by the size of one of them",
}
"""Balances for which scales would do nothing, or undo what they are."""


def limited(config: DictConfig) -> Iterator[str]:
    most, one = config.limits.max_tokens, config.limits.max_new_tokens
    if one >= most:
        yield (
            f"limits.max_new_tokens={one} leaves no room for an answer in an episode of "
            f"limits.max_tokens={most}: lower the one, or raise the other"
        )


def engined(config: DictConfig) -> Iterator[str]:
    engine, several = config.engine, int(os.environ.get("WORLD_SIZE", "1")) > 1
    if engine.name == "openai":
        yield (
            "engine.name=openai writes what another model says, without its log-probabilities: this one can "
            "not learn from it. Train by engine=hf or engine=vllm; amft_mm.evaluate takes openai"
        )
    if engine.name != "vllm":
        return
    if config.sampling.temperature not in (0, 1) and (why := _compares(config)):
        yield (
            "engine.name=vllm tells no log-probabilities at sampling.temperature="
            f"{config.sampling.temperature}, and {why} compares what was sampled with what learns: "
            "sampling.temperature=1, or engine=hf"
        )
    by_folder = engine.get("transfer") in (None, "folder")
    if engine.get("servers") and by_folder and not engine.get("weights_folder"):
        yield (
            "engine.servers need engine.weights_folder=FOLDER, a folder that learner and servers both see: "
            "new weights go through it; or engine.transfer=nccl, from GPU to GPU"
        )
    if several and not engine.get("servers") and engine.get("tensor_parallel", 1) > 1:
        yield (
            f"engine.tensor_parallel={engine.tensor_parallel} with several processes, each of which plays "
            "episodes of its own: divide the model in servers (engine.where=servers)"
        )


def _compares(config: DictConfig) -> str:
    """A setting by which ratios differ from 1; none where each update has rollouts of its own."""
    train, correction = config.train, config.method.correction.name
    asked = {
        "train.ahead=1": train.ahead,
        f"train.minibatches={train.minibatches}": train.minibatches > 1,
        f"train.epochs={train.epochs}": train.epochs > 1,
        f"method.correction.name={correction}": correction != "none",
    }
    return next((setting for setting, there in asked.items() if there), "") if train.steps else ""


def scheduled(config: DictConfig) -> Iterator[str]:
    """What chooses task instances, where others choose them."""
    train, chosen = config.train, config.train.curriculum.name
    asked = f"train.curriculum.name={chosen}" if chosen != "uniform" else ""
    asked = f"train.pool={train.pool}" if train.pool and not asked else asked
    if asked and (guides(config) or config.method.rival):
        yield (
            f"{asked} goes neither with guidance, which plays the task instances of its demonstrations, nor "
            "with method.rival: leave one of them out"
        )
    if chosen == "difficulty" and train.pool is None:
        yield "train.curriculum.name=difficulty weighs a fixed set of task instances: say train.pool=N"
    if chosen == "sec" and len(parts_of(config.env)) == 1:
        yield "train.curriculum.name=sec chooses between environments: env=mix, or leave it out"


def drawn_again(config: DictConfig) -> Iterator[str]:
    method = config.method
    if method.resample and (guides(config) or method.rival or noise(config)):
        yield (
            f"method.resample={method.resample} goes neither with guidance, which needs the groups that "
            "fail, nor with method.rival, nor with train.reward_noise: method.resample=0"
        )


def ahead(config: DictConfig) -> Iterator[str]:
    """What can not be played while the step before is learnt from."""
    train, method, guide = config.train, config.method, config.method.guidance.name
    if not train.ahead:
        return
    tries = any(part.balance.tries for part in mixed_parts(config))
    chosen, every = train.curriculum.name, config.checkpoint.every
    asked = (
        (
            tries,
            f"method.balance.name={method.balance.name}",
            "plays after each mix that it tries, so that the engine is not free meanwhile",
        ),
        (
            guides(config),
            f"method.guidance.name={guide}",
            "plays the task instances of a step's demonstrations, round by round, when its turn has come",
        ),
        (
            chosen not in ("uniform", "variance"),
            f"train.curriculum.name={chosen}",
            "picks what a step plays by what came of the one before",
        ),
        (
            method.rival,
            "method.rival",
            "is compared with the model on the same task instances: one of the two would be a step older",
        ),
        (
            every == 1,
            f"checkpoint.every={every}",
            "leaves no step to be played ahead: the one after a checkpoint is played in turn, so that a run "
            "goes on from there as if it had not stopped",
        ),
    )
    for there, setting, reason in asked:
        if there:
            yield (
                f"train.ahead=1 plays a step while the one before it is learnt from, and {setting} {reason}. "
                "Leave one of them out"
            )


def shown(config: DictConfig) -> Iterator[str]:
    """What is played has to be seen."""
    if config.train.dry_run and config.model.get("sizes"):
        return  # which goes by these, where no such model is
    for part in parts_of(config.env):
        where = "env" if "parts" not in config.env else f"env.parts.{part.name}"
        if part.env.get("modality") == "visual" and reads_alone(config.model.name):
            yield (
                f"model.name={config.model.name} reads text alone, but {where}.modality=visual shows "
                f"pictures: take {where}.modality=text, or a model that sees"
            )


def compared(config: DictConfig) -> Iterator[str]:
    """Groups whose members can not differ teach nothing, and balances that never mix need no scales."""
    train, method, sampling = config.train, config.method, config.sampling
    explores = any(part.explores(k) for part in mixed_parts(config) for k in range(train.steps))
    credit = method.credit
    alone = credit.credit == "gae" or credit.get("baseline", "std") == "none"
    if explores and (not alone or method.exploration.name == "nft"):
        if train.group == 1:
            yield (
                "train.group=1 leaves nobody to compare an episode with, so that all advantages are 0: take "
                "train.group=2 or more, or method=reinforce or ppo"
            )
        if sampling.temperature == 0 or sampling.top_k == 1:
            yield (
                f"sampling.temperature={sampling.temperature}, sampling.top_k={sampling.top_k}: members of a "
                "group would all write the same, so that there is nothing to learn from. Take "
                "sampling.temperature=1"
            )
    guide = guidance_of(config)
    mixes = guide.sets_mu and not guide.imitates_afterwards
    if method.balanced and (why := UNBALANCED.get(method.balance.name)) and not mixes:
        yield (
            f"method.balanced=true brings both gradients to one size, and method.balance.name="
            f"{method.balance.name} {why}. Leave it out, or take another balance"
        )
    if method.exploration.name == "nft" and credit.credit != "episode":
        yield (
            "method.exploration.name=nft learns from whether episodes succeed, as groups tell: "
            f"method.credit.credit={credit.credit} would do nothing. Take episode"
        )
    if method.exploration.name == "srft" and credit.credit == "gae":
        yield (
            "method.exploration.name=srft learns from whether episodes succeed, and method.credit.credit=gae "
            "does not tell. Take episode"
        )
    if method.exploration.name == "nft" and method.overlong:
        yield (
            "method.exploration.name=nft learns from whether episodes succeed, and not from rewards: "
            f"method.overlong={method.overlong} would do nothing. Leave it out"
        )
