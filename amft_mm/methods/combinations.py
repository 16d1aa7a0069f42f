"""What does not go together, or would do nothing without a word, is refused before anything starts.

    refuse_contradictions(config)      ValueError: what was asked for, why not, what to do

What combines with what is told as a table in docs/architecture.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from omegaconf import DictConfig

from amft_mm.config.settings import parts_of
from amft_mm.learning.credit import check
from amft_mm.methods.parts import mixed_parts
from envs.contract import one_of, whole_number


def refuse_contradictions(config: DictConfig) -> None:
    for refused in (
        _guided,
        _rivalled,
        _credited,
        _drawn_again,
        _updated,
        _scheduled,
        _without_exploration,
        _without_learning,
        _demonstrated,
        _mixed,
    ):
        for problem in refused(config):
            raise ValueError(problem)


def _guided(config: DictConfig) -> Iterator[str]:
    method = config.method
    if _guides(config) and (method.mu_per_env or method.credit.credit == "gae"):
        yield (
            f"method.guidance.name={method.guidance.name} goes neither with method.mu_per_env=true nor "
            "with credit by gae"
        )


def _rivalled(config: DictConfig) -> Iterator[str]:
    method = config.method
    if not method.rival:
        return
    if _guides(config) or method.mu_per_env or method.credit.credit == "gae":
        yield "method.rival goes neither with guidance, method.mu_per_env=true nor credit by gae"
    if config.model.lora:
        yield "method.rival trains all weights, beside an adapter of its own: model.lora=null"


def _credited(config: DictConfig) -> Iterator[str]:
    method, settings = config.method, {str(k): v for k, v in config.method.credit.items()}
    one_of("method.cut", method.cut, ("learn", "mask", "bootstrap"))
    if settings["credit"] == "gae":
        return
    known = inspect.signature(check).parameters
    for unknown in settings.keys() - known.keys():
        yield f"method.credit.{unknown}: there is no such setting. There are: {', '.join(known)}"
        return
    check(**settings)
    if method.cut == "bootstrap":
        yield (
            f"method.cut=bootstrap asks a critic, and method.credit.credit={settings['credit']} has none: "
            "use method.cut=mask, or method=ppo"
        )


def _drawn_again(config: DictConfig) -> Iterator[str]:
    method = config.method
    whole_number("method.resample", method.resample, 0, 1000)
    if method.resample and (_guides(config) or method.rival or _noise(config)):
        yield (
            f"method.resample={method.resample} goes neither with guidance, which needs the groups that "
            "fail, nor with method.rival, nor with train.reward_noise: method.resample=0"
        )


def _updated(config: DictConfig) -> Iterator[str]:
    train = config.train
    for name in ("minibatches", "epochs"):
        whole_number(f"train.{name}", train[name], 1, 10_000)
    if config.method.rival and train.minibatches * train.epochs > 1:
        yield (
            "method.rival makes one update a step, as its adapter does: "
            "train.minibatches=1 train.epochs=1"
        )


def _scheduled(config: DictConfig) -> Iterator[str]:
    """What chooses task instances, where others choose them."""
    train, chosen = config.train, config.train.curriculum.name
    if train.pool is not None:
        whole_number("train.pool", train.pool, 1, 10**7)
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


def _without_exploration(config: DictConfig) -> Iterator[str]:
    """Settings of exploration, where there is none."""
    name = config.method.balance.name
    if any(part.explores(k) for part in mixed_parts(config) for k in range(config.train.steps)):
        return
    if config.train.steps == 0 or _guides(config):
        return
    method = config.method
    asked = {
        "method.kl": method.kl,
        "method.entropy": method.entropy,
        "method.correction.name": method.correction.name != "none" and method.correction.name,
        "train.reward_noise": _noise(config),
        "method.resample": method.resample,
        "train.pool": config.train.pool,
        "method.overlong": method.overlong,
        "method.cut": method.cut != "learn" and method.cut,
        "train.minibatches": config.train.minibatches > 1 and config.train.minibatches,
        "train.epochs": config.train.epochs > 1 and config.train.epochs,
    }
    for setting, value in asked.items():
        if value:
            yield (
                f"{setting}={value} would do nothing: method.balance.name={name} never explores. "
                f"Leave it out, or take another balance"
            )


def _without_learning(config: DictConfig) -> Iterator[str]:
    """Settings of learning mu, where it is not learnt."""
    method = config.method
    if any(part.balance.learns for part in mixed_parts(config)):
        return
    asked = {
        "method.horizon": method.horizon,
        "method.plain_derivative": method.plain_derivative,
        "method.utility.name": method.utility.name != "next_rollout" and method.utility.name,
    }
    for setting, value in asked.items():
        if value:
            yield (
                f"{setting}={value} would do nothing: method.balance.name={method.balance.name} does not "
                "learn mu. Leave it out, or take method=amft"
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
        yield (
            f"demos.n=0, but {wants} wants demonstrations: train.warmup_steps=0 and a method that "
            "explores alone, such as method=grpo, need none"
        )


def _mixed(config: DictConfig) -> Iterator[str]:
    if config.method.mu_per_env and len(parts_of(config.env)) == 1:
        yield (
            f"method.mu_per_env=true is for several environments (env=mix), and env={config.env.name} "
            "is one: leave it out"
        )


def _guides(config: DictConfig) -> bool:
    return bool(config.method.guidance.name != "none")


def _noise(config: DictConfig) -> float:
    return float(config.train.reward_noise)
