"""What can not be learnt so: updates and who makes them, credit, mu, and settings that would do nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from omegaconf import DictConfig

from amft_mm.config.settings import EnvPart, options_of, parts_of, world_of
from amft_mm.learning.credit import check
from amft_mm.learning.value import ValueHead
from amft_mm.methods.combinations.asked import guidance_of, guides, noise, streams
from amft_mm.methods.parts import mixed_parts
from amft_mm.methods.utility import utility
from amft_mm.methods.utility.base import Utility
from envs.contract import World


def idle(config: DictConfig) -> Iterator[str]:
    if config.train.steps + config.train.warmup_steps == 0:
        yield (
            "train.steps=0 and train.warmup_steps=0: nothing would be trained. To play without training: "
            "python -m amft_mm.evaluate"
        )


def rivalled(config: DictConfig) -> Iterator[str]:
    method = config.method
    if not method.rival:
        return
    if guides(config) or method.mu_per or method.credit.credit == "gae":
        yield "method.rival goes neither with guidance, method.mu_per nor credit by gae"
    if config.model.lora:
        yield "method.rival trains all weights, beside an adapter of its own: model.lora=null"


def sharded(config: DictConfig) -> Iterator[str]:
    if config.train.shard and config.method.rival:
        yield (
            "train.shard with method.rival (method=bridge): the adapter that both models share is added to "
            "whole matrices. Take train.shard=false, on GPUs that hold both models"
        )
    if config.train.shard and config.train.ahead and config.engine.name == "hf":
        yield (
            "train.shard with train.ahead and engine=hf: rollouts and learning would bring the same weights "
            "together at once. Take train.ahead=0, or engine=vllm"
        )
    if config.train.offload and not config.train.shard:
        yield "train.offload=true would do nothing without train.shard=true"


def credited(config: DictConfig) -> Iterator[str]:
    method, settings = config.method, {str(k): v for k, v in config.method.credit.items()}
    if settings["credit"] == "gae":
        del settings["credit"]
        ValueHead.check(**settings)
        if method.mu_per:
            yield (
                f"method.mu_per={method.mu_per} learns from a step part by part, and credit by gae has one "
                "critic of the whole: leave one of them out"
            )
        return
    check(**settings)
    if method.cut == "bootstrap":
        yield (
            f"method.cut=bootstrap asks a critic, and method.credit.credit={settings['credit']} has none: "
            "use method.cut=mask, or method=ppo"
        )


def updated(config: DictConfig) -> Iterator[str]:
    train = config.train
    if config.method.rival and train.minibatches * train.epochs > 1:
        yield (
            "method.rival makes one update a step, as its adapter does: "
            "train.minibatches=1 train.epochs=1"
        )


def tried(config: DictConfig) -> Iterator[str]:
    """What makes a step several times over to see what comes of it, and takes it back."""
    train, method = config.train, config.method
    if not any(part.balance.tries for part in mixed_parts(config)):
        return
    several = int(os.environ.get("WORLD_SIZE", "1"))
    asked = {
        "train.minibatches": train.minibatches > 1 and train.minibatches,
        "train.epochs": train.epochs > 1 and train.epochs,
        "method.mu_per": method.mu_per,
        "method.rival": method.rival,
        "processes": several > 1 and several,
    }
    for setting, value in asked.items():
        if value:
            yield (
                f"{setting}={value}: method.balance.name={method.balance.name} tries whole steps, one update "
                "of one part by one process. Leave it out, or take method=amft"
            )


def mixed(config: DictConfig) -> Iterator[str]:
    guide = config.method.guidance.name
    if config.method.mu_per == "difficulty" and guide != "shown":
        yield (
            "method.mu_per=difficulty tells hard demonstrations by how the model fares at their task "
            f"instances, which method.guidance.name={guide} does not say: method.guidance.name=shown plays "
            "them"
        )
    if config.method.mu_per == "env" and len(parts_of(config.env)) == 1:
        yield (
            f"method.mu_per=env is for several environments (env=mix), and env={config.env.name} "
            "is one: leave it out"
        )


def without_exploration(config: DictConfig) -> Iterator[str]:
    """Settings of exploration, where there is none."""
    name = config.method.balance.name
    if any(part.explores(k) for part in mixed_parts(config) for k in range(config.train.steps)):
        return
    if config.train.steps == 0:
        return
    method, chosen = config.method, config.train.curriculum.name
    of_the_loss = {
        "method.exploration.name": method.exploration.name != "grpo" and method.exploration.name,
        "method.rival": method.rival,
        "method.kl": method.kl,
        "method.entropy": method.entropy,
        "method.correction.name": method.correction.name != "none" and method.correction.name,
    }
    of_rollouts = {
        "method.guidance.name": guides(config) and method.guidance.name,
        "train.reward_noise": noise(config),
        "method.resample": method.resample,
        "train.pool": config.train.pool,
        "method.overlong": method.overlong,
        "method.cut": method.cut != "learn" and method.cut,
        "train.epochs": config.train.epochs > 1 and config.train.epochs,
        "train.ahead": config.train.ahead,
        "train.curriculum.name": chosen != "uniform" and chosen,
    }
    asked = of_the_loss if streams(config) else of_the_loss | of_rollouts
    yield from _in_vain(asked, f"{name} never explores. Leave it out, or take another balance")


def without_learning(config: DictConfig) -> Iterator[str]:
    """Settings of learning mu, where it is not learnt, or where they are no other than the default."""
    method, train = config.method, config.train
    if any(part.balance.learns for part in mixed_parts(config)):
        if (
            not method.horizon
            and method.tangent == "last_step"
            and train.minibatches * train.epochs == 1
        ):
            yield (
                "method.tangent=last_step would do nothing: with method.horizon=0 and one update a step "
                "there is nothing else to follow. Leave it out, or take method.horizon=0.9"
            )
        return
    asked = {
        "method.horizon": method.horizon,
        "method.tangent": method.tangent != "curved" and method.tangent,
        "method.utility.name": method.utility.name != "next_rollout" and method.utility.name,
    }
    name = method.balance.name
    yield from _in_vain(asked, f"{name} does not learn mu. Leave it out, or take method=amft")


def _in_vain(asked: Mapping[str, Any], why: str) -> Iterator[str]:
    """What is asked for beside a balance that `why` begins with."""
    for setting, value in asked.items():
        if value:
            yield f"{setting}={value} would do nothing: method.balance.name={why}"


def unseen(config: DictConfig) -> Iterator[str]:
    """Looks of which nothing can ever come: mu would stay where it began, without a word."""
    train, method = config.train, config.method
    if not train.steps or not any(part.balance.learns for part in mixed_parts(config)):
        return
    utility = method.utility.name
    if utility == "next_rollout" and _own_members(config) < 2:
        yield (
            f"train.group={train.group}: method.utility.name=next_rollout compares the episodes of a group "
            f"that no demonstration began, and method.guidance.name={method.guidance.name} leaves one at "
            f"most, so that mu would never move. Take train.group={train.group + 1} or more"
        )
    every = getattr(_utility_of(config), "every", 1)
    if train.steps <= every > 1:
        yield (
            f"method.utility.name={utility} looks every {every} steps, which train.steps={train.steps} never "
            f"come to, so that mu would never move. Take +method.utility.every={max(1, train.steps // 10)}"
        )
    if utility == "demo_nll" and (without := _without_expert(config)):
        yield (
            f"method.utility.name=demo_nll looks at held-out episodes of an expert, and {', '.join(without)} "
            "has none, so that mu would never move. Take method.utility.name=next_rollout"
        )


def _own_members(config: DictConfig) -> int:
    """How many episodes of a group may be all the model's own, in the best case."""
    guide, rng = guidance_of(config), np.random.default_rng(0)
    rounds = enumerate(guide.rounds(config.train.group))
    shares = [share for k, size in rounds for share in guide.shares(k, size, 1.0, 1.0, rng)]
    return sum(share == 0 for share in shares)


def _without_expert(config: DictConfig) -> list[str]:
    """The environments, where none of them has one: what one has is seen."""
    parts = parts_of(config.env)
    return [] if any(_has_expert(part) for part in parts) else [part.name for part in parts]


def _has_expert(part: EnvPart) -> bool:
    env = world_of(part.env).make()
    env.close()
    own = getattr(env.unwrapped, "expert", None)
    return own is not None and getattr(own, "__func__", own) is not World.expert


def climbed(config: DictConfig) -> Iterator[str]:
    """A utility says itself what it does not take: else when all demonstrations are played."""
    _utility_of(config)
    yield from ()


def _utility_of(config: DictConfig) -> Utility:
    return utility(config.method.utility.name, options_of(config.method.utility))


def validated(config: DictConfig) -> Iterator[str]:
    if config.eval.validation is not None and not config.eval.every:
        yield (
            f"eval.validation={config.eval.validation} takes the best of the weights that it has seen, and "
            "eval.every=0 shows it the last alone: eval.every=20, or eval.validation=null"
        )
    if config.eval.passes is not None and config.eval.tries > 1:
        yield (
            f"eval.passes plays sampled tries beside greedy evaluations, and eval.tries={config.eval.tries} "
            "makes all of them sampled, with pass@k: leave one of the two out"
        )
    if not config.eval.temperature and (config.eval.tries > 1 or config.eval.passes is not None):
        yield (
            "eval.temperature=0 makes all tries at a task instance the same, and pass@k is told of several: "
            "eval.temperature=1, or eval.tries=1 eval.passes=null"
        )
