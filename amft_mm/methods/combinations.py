"""What does not go together, or would do nothing without a word, is refused before anything starts.

    refuse_contradictions(config)      ValueError: what was asked for, why not, what to do

What combines with what is told as a table in docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from omegaconf import DictConfig

from amft_mm.config.settings import parts_of
from amft_mm.methods.parts import mixed_parts


def refuse_contradictions(config: DictConfig) -> None:
    for check in (
        _guided,
        _rivalled,
        _without_exploration,
        _without_learning,
        _demonstrated,
        _mixed,
    ):
        for problem in check(config):
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


def _without_exploration(config: DictConfig) -> Iterator[str]:
    """Settings of exploration, where there is none."""
    name = config.method.balance.name
    if any(part.explores(k) for part in mixed_parts(config) for k in range(config.train.steps)):
        return
    if config.train.steps == 0 or _guides(config):
        return
    for setting, value in (("method.kl", config.method.kl), ("train.reward_noise", _noise(config))):
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
        "method.tangent": method.tangent != "exact" and method.tangent,
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
