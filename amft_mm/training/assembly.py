"""What a run's settings make of a step: how it gives credit, who joins it, how its optimizer steps."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from agents.engines.base import Engine
from agents.plugins import make
from agents.policy import Policy
from amft_mm.data.sources import Sources
from amft_mm.learning.learner import Learner, OptimizerSettings
from amft_mm.learning.value import ValueHead
from amft_mm.methods.guidance import Guidance
from amft_mm.methods.objectives import Objectives
from amft_mm.methods.rival import Rival
from amft_mm.runs.episodes import Recorder
from amft_mm.runs.processes import ProcessGroup
from amft_mm.training.afterwards import ImitatedAfterwards
from amft_mm.training.bridge import Bridged
from amft_mm.training.companions import (
    Companion,
    Criticised,
    LengthPenalty,
    Recording,
    WrongRewards,
)
from amft_mm.training.credit import Credit, CriticCredit, GroupCredit, Rewarded


def credit_of(
    config: DictConfig, policy: Policy, processes: ProcessGroup, rewarded: Rewarded
) -> Credit:
    settings: dict[str, Any] = {str(k): v for k, v in config.method.credit.items()}
    cut = str(config.method.cut)
    if settings["credit"] != "gae":
        return GroupCredit(settings, rewarded, mask_cut=cut == "mask")
    del settings["credit"]
    settings["minibatches"] = config.train.minibatches
    critic = ValueHead(policy, processes, config.train.micro_batch_tokens, **settings)
    return CriticCredit(critic, rewarded, cut)


def rewarding(config: DictConfig) -> list[Companion]:
    """Those that change what episodes are learnt from, in the order in which they are asked."""
    joining: list[Companion] = []
    if config.train.reward_noise:
        joining.append(WrongRewards(config.train.reward_noise, config.seed))
    if config.method.overlong:
        overlong = {"overlong": LengthPenalty}
        joining.append(make("method", "overlong", overlong, config.method.overlong))
    return joining


def learning(
    config: DictConfig,
    policy: Policy,
    engine: Engine,
    learner: Learner,
    sources: Sources,
    objectives: Objectives,
    guidance: Guidance,
    credit: Credit,
) -> list[Companion]:
    """Those that learn beside the policy, or after it."""
    joining: list[Companion] = []
    if isinstance(credit, CriticCredit):
        joining.append(Criticised(credit.critic))
    if guidance.imitates_afterwards:
        settings = optimizer_settings(config)
        joining.append(ImitatedAfterwards(learner, settings, objectives, sources))
    if config.method.rival:
        rival = Rival(policy, learner, **config.method.rival)
        joining.append(Bridged(rival, sources, engine, learner, objectives.exploration, credit))
    return joining


def recording(
    config: DictConfig,
    policy: Policy,
    processes: ProcessGroup,
    recorder: Recorder,
    sources: Sources,
    credit: Credit,
) -> list[Companion]:
    count = int(config.record.rollouts)
    return [Recording(count, policy, recorder, sources, credit, processes.main)] if count else []


def optimizer_settings(config: DictConfig) -> OptimizerSettings:
    train = config.train
    return OptimizerSettings(
        lr=train.lr,
        betas=tuple(train.betas),
        weight_decay=train.weight_decay,
        max_norm=train.max_norm,
        horizon=config.method.horizon,
        tangent=config.method.tangent,
    )
