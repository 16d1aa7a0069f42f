"""What does not go together, or would do nothing without a word, is refused before anything starts.

    refuse_contradictions(config)      ValueError: what was asked for, why not, what to do

What combines with what is told as a table in docs/architecture.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from omegaconf import DictConfig

from agents.policy import reads_alone
from amft_mm.config.settings import demonstrations_of, options_of, parts_of
from amft_mm.learning.credit import check
from amft_mm.methods.guidance import Guidance, guidance
from amft_mm.methods.imitation import imitation
from amft_mm.methods.options import unknown_options
from amft_mm.methods.parts import mixed_parts

LOOKS = {"ood_color", "ood_deck"}
"""Splits of General Points that change how cards look."""


def refuse_contradictions(config: DictConfig) -> None:
    for refused in (
        _idle,
        _limited,
        unknown_options,
        _engined,
        _guided,
        _streamed,
        _rivalled,
        _sharded,
        _credited,
        _drawn_again,
        _updated,
        _scheduled,
        _tried,
        _ahead,
        _without_exploration,
        _without_learning,
        _validated,
        _demonstrated,
        _mixed,
        _compared,
        _shown,
    ):
        for problem in refused(config):
            raise ValueError(problem)


def _idle(config: DictConfig) -> Iterator[str]:
    if config.train.steps + config.train.warmup_steps == 0:
        yield (
            "train.steps=0 and train.warmup_steps=0: nothing would be trained. To play without training: "
            "python -m amft_mm.evaluate"
        )


def _limited(config: DictConfig) -> Iterator[str]:
    most, one = config.limits.max_tokens, config.limits.max_new_tokens
    if one >= most:
        yield (
            f"limits.max_new_tokens={one} leaves no room for an answer in an episode of "
            f"limits.max_tokens={most}: lower the one, or raise the other"
        )


def _engined(config: DictConfig) -> Iterator[str]:
    engine, several = config.engine, int(os.environ.get("WORLD_SIZE", "1")) > 1
    if engine.name == "openai":
        yield (
            "engine.name=openai writes what another model says, without its log-probabilities: this one can "
            "not learn from it. Train by engine=hf or engine=vllm; amft_mm.evaluate takes openai"
        )
    if engine.name != "vllm":
        return
    if engine.get("servers") and not engine.get("weights_folder"):
        yield (
            "engine.servers need engine.weights_folder=FOLDER, a folder that learner and servers both see: "
            "new weights go through it"
        )
    if several and not engine.get("servers") and engine.get("tensor_parallel", 1) > 1:
        yield (
            f"engine.tensor_parallel={engine.tensor_parallel} with several processes, each of which plays "
            "episodes of its own: divide the model in servers (engine.where=servers)"
        )


def _sharded(config: DictConfig) -> Iterator[str]:
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


def _guided(config: DictConfig) -> Iterator[str]:
    method, name = config.method, config.method.guidance.name
    guide = _guide(config)
    guide.rounds(config.train.group)  # has to divide it
    if not _guides(config):
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
    if guide.shown and not guide.sets_mu and config.train.group < 2:
        yield (
            f"train.group={config.train.group}: method.guidance.name={name} gives demonstrations to some "
            "members of a group, beside others that explore. Take at least 2"
        )


def _streamed(config: DictConfig) -> Iterator[str]:
    """Streams are made of rollouts, where guidance may have none or choose among them."""
    name, guide = config.method.imitation.name, config.method.guidance.name
    if not _streams(config):
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
    if name == "sdft" and not _guide(config).shown:
        yield (
            f"method.imitation.name=sdft reads demonstrations of what is explored, and "
            f"method.guidance.name={guide} shows none: method.guidance.name=shown does"
        )


def _rivalled(config: DictConfig) -> Iterator[str]:
    method = config.method
    if not method.rival:
        return
    if _guides(config) or method.mu_per or method.credit.credit == "gae":
        yield "method.rival goes neither with guidance, method.mu_per nor credit by gae"
    if config.model.lora:
        yield "method.rival trains all weights, beside an adapter of its own: model.lora=null"


def _credited(config: DictConfig) -> Iterator[str]:
    method, settings = config.method, {str(k): v for k, v in config.method.credit.items()}
    if settings["credit"] == "gae":
        return
    check(**settings)
    if method.cut == "bootstrap":
        yield (
            f"method.cut=bootstrap asks a critic, and method.credit.credit={settings['credit']} has none: "
            "use method.cut=mask, or method=ppo"
        )


def _drawn_again(config: DictConfig) -> Iterator[str]:
    method = config.method
    if method.resample and (_guides(config) or method.rival or _noise(config)):
        yield (
            f"method.resample={method.resample} goes neither with guidance, which needs the groups that "
            "fail, nor with method.rival, nor with train.reward_noise: method.resample=0"
        )


def _updated(config: DictConfig) -> Iterator[str]:
    train = config.train
    if config.method.rival and train.minibatches * train.epochs > 1:
        yield (
            "method.rival makes one update a step, as its adapter does: "
            "train.minibatches=1 train.epochs=1"
        )


def _scheduled(config: DictConfig) -> Iterator[str]:
    """What chooses task instances, where others choose them."""
    train, chosen = config.train, config.train.curriculum.name
    asked = f"train.curriculum.name={chosen}" if chosen != "uniform" else ""
    asked = f"train.pool={train.pool}" if train.pool and not asked else asked
    if asked and (_guides(config) or config.method.rival):
        yield (
            f"{asked} goes neither with guidance, which plays the task instances of its demonstrations, nor "
            "with method.rival: leave one of them out"
        )
    if chosen == "difficulty" and train.pool is None:
        yield "train.curriculum.name=difficulty weighs a fixed set of task instances: say train.pool=N"
    if chosen == "sec" and len(parts_of(config.env)) == 1:
        yield "train.curriculum.name=sec chooses between environments: env=mix, or leave it out"


def _tried(config: DictConfig) -> Iterator[str]:
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


def _ahead(config: DictConfig) -> Iterator[str]:
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
            _guides(config),
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


def _without_exploration(config: DictConfig) -> Iterator[str]:
    """Settings of exploration, where there is none."""
    name = config.method.balance.name
    if any(part.explores(k) for part in mixed_parts(config) for k in range(config.train.steps)):
        return
    if config.train.steps == 0:
        return
    method = config.method
    of_the_loss = {
        "method.rival": method.rival,
        "method.kl": method.kl,
        "method.entropy": method.entropy,
        "method.correction.name": method.correction.name != "none" and method.correction.name,
    }
    of_rollouts = {
        "method.guidance.name": _guides(config) and method.guidance.name,
        "train.reward_noise": _noise(config),
        "method.resample": method.resample,
        "train.pool": config.train.pool,
        "method.overlong": method.overlong,
        "method.cut": method.cut != "learn" and method.cut,
        "train.minibatches": config.train.minibatches > 1 and config.train.minibatches,
        "train.epochs": config.train.epochs > 1 and config.train.epochs,
    }
    asked = of_the_loss if _streams(config) else of_the_loss | of_rollouts
    for setting, value in asked.items():
        if value:
            yield (
                f"{setting}={value} would do nothing: method.balance.name={name} never explores. "
                f"Leave it out, or take another balance"
            )


def _compared(config: DictConfig) -> Iterator[str]:
    """Groups whose members can not differ teach nothing, and balances that never mix need no scales."""
    train, method, sampling = config.train, config.method, config.sampling
    explores = any(part.explores(k) for part in mixed_parts(config) for k in range(train.steps))
    credit = method.credit
    if explores and credit.credit != "gae" and credit.get("baseline", "std") != "none":
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
    if method.balanced and method.balance.name in ("sft", "rl") and not _guide(config).sets_mu:
        yield (
            f"method.balanced=true would do nothing: method.balance.name={method.balance.name} mixes "
            "nothing. Leave it out, or take another balance"
        )
    if method.exploration.name == "nft" and credit.credit == "gae":
        yield (
            "method.exploration.name=nft learns from whether episodes succeed, as groups tell: "
            "method.credit.credit=gae would do nothing. Take episode"
        )


def _shown(config: DictConfig) -> Iterator[str]:
    """What is played has to be seen."""
    for part in parts_of(config.env):
        modality, splits = part.env.get("modality"), list(part.env.get("splits") or [])
        where = "env" if "parts" not in config.env else f"env.parts.{part.name}"
        if modality == "text" and (unseen := LOOKS & {*splits}):
            left = ",".join(split for split in splits if split not in LOOKS)
            yield (
                f"{where}.splits={splits}: {' and '.join(sorted(unseen))} change how cards look, which "
                f"{where}.modality=text does not show. Take {where}.splits=[{left}]"
            )
        if modality == "visual" and reads_alone(config.model.name):
            yield (
                f"model.name={config.model.name} reads text alone, but {where}.modality=visual shows "
                f"pictures: take {where}.modality=text, or a model that sees"
            )


def _without_learning(config: DictConfig) -> Iterator[str]:
    """Settings of learning mu, where it is not learnt."""
    method = config.method
    if any(part.balance.learns for part in mixed_parts(config)):
        return
    asked = {
        "method.horizon": method.horizon,
        "method.tangent": method.tangent != "exact" and method.tangent,
        "method.utility.name": method.utility.name != "next_rollout" and method.utility.name,
    }
    for setting, value in asked.items():
        if value:
            yield (
                f"{setting}={value} would do nothing: method.balance.name={method.balance.name} does not "
                "learn mu. Leave it out, or take method=amft"
            )


def _validated(config: DictConfig) -> Iterator[str]:
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


def _demonstrated(config: DictConfig) -> Iterator[str]:
    demos = config.demos
    if demos.folder and (demos.slips or demos.corrupt.share):
        yield (
            "demos.slips and demos.corrupt are of demonstrations that the run records itself; those of "
            f"demos.folder={demos.folder} are taken as they are (python -m amft_mm.demos spoils some)"
        )
    if not demos.folder and not demos.n and (config.train.warmup_steps or _guides(config)):
        wants = "method.guidance" if _guides(config) else "train.warmup_steps"
        yield _none(wants)
    elif (
        not demos.folder
        and not demos.n
        and not _streams(config)
        and any(
            part.balance.needs_both or part.balance.mu(k) > 0
            for part in mixed_parts(config)
            for k in range(config.train.steps)
        )
    ):
        yield _none(f"method.balance.name={config.method.balance.name}")
    if demos.folder:
        yield from _of_another_world(config)


def _none(wants: str) -> str:
    return (
        f"demos.n=0, but {wants} wants demonstrations: train.warmup_steps=0 and a method that explores "
        "alone, such as method=grpo, need none"
    )


def _of_another_world(config: DictConfig) -> Iterator[str]:
    """By the first of each folder; the others are told when they are drawn."""
    for part in parts_of(config.env):
        row = demonstrations_of(config.demos.folder, part)[0]
        if row.world != part.env.id and _guides(config):
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


def _mixed(config: DictConfig) -> Iterator[str]:
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


def _streams(config: DictConfig) -> bool:
    """Whether something of rollouts takes the place of demonstrations."""
    return hasattr(imitation(config.method.imitation.name), "stream")


def _guides(config: DictConfig) -> bool:
    return bool(config.method.guidance.name != "none")


def _guide(config: DictConfig) -> Guidance:
    return guidance(config.method.guidance.name, options_of(config.method.guidance))


def _noise(config: DictConfig) -> float:
    return float(config.train.reward_noise)
