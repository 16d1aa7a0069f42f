"""What a run's settings make of a step: how it gives credit, who joins it, how its optimizer steps.

assembled(config, policy, engine, processes, recorder)   -> an Assembly, which the files beside work with
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from agents.engines.base import Engine
from agents.plugins import make
from agents.policy import Policy
from agents.trajectory import Trajectory
from amft_mm.config.settings import options_of
from amft_mm.data.rollouts import play_settings
from amft_mm.data.sources import Sources
from amft_mm.learning.learner import Learner, OptimizerSettings
from amft_mm.learning.value import ValueHead
from amft_mm.methods.guidance import Guidance, guidance
from amft_mm.methods.objectives import Objectives
from amft_mm.methods.parts import MixedPart, mixed_parts
from amft_mm.methods.rival import Rival
from amft_mm.runs.episodes import Recorder
from amft_mm.runs.failures import Failures
from amft_mm.runs.processes import ProcessGroup
from amft_mm.training.afterwards import ImitatedAfterwards
from amft_mm.training.bridge import Bridged
from amft_mm.training.companions import (
    Companion,
    Criticised,
    HeldoutCounted,
    LengthPenalty,
    Recording,
    WrongRewards,
)
from amft_mm.training.credit import Credit, CriticCredit, GroupCredit, Rewarded


@dataclass(frozen=True)
class Assembly:
    policy: Policy
    engine: Engine
    processes: ProcessGroup
    learner: Learner
    sources: Sources
    objectives: Objectives
    guidance: Guidance
    parts: list[MixedPart]
    """Of a step, each with a mu of its own."""
    rewarded: Rewarded
    """The episodes as they are to be learnt from."""
    credit: Credit
    companions: dict[str, Companion]
    failures: Failures


def assembled(
    config: DictConfig,
    policy: Policy,
    engine: Engine,
    processes: ProcessGroup,
    recorder: Recorder,
) -> Assembly:
    method = config.method
    learner = Learner(
        policy, _optimizer_settings(config), processes, config.train.micro_batch_tokens
    )
    sources = Sources(config, policy, engine, processes)
    objectives = Objectives(method, policy, play_settings(config).sampling.learnt_at)
    guided = guidance(method.guidance.name, options_of(method.guidance))
    rewarding = _rewarding(config)

    def rewarded(step: int, episodes: Sequence[Trajectory]) -> Sequence[Trajectory]:
        for companion in rewarding:
            episodes = companion.rewarded(step, episodes)
        return episodes

    credit = _credit(config, policy, processes, rewarded)
    joining = [
        *rewarding,
        *_recording(config, policy, processes, recorder, sources, credit),
        *_learning(config, policy, engine, learner, sources, objectives, guided, credit),
        HeldoutCounted(sources),
    ]
    failures = Failures(
        recorder.folder.parent,
        share=config.play.failing,
        steps=config.play.failing_steps,
        writes=processes.main,
    )
    return Assembly(
        policy=policy,
        engine=engine,
        processes=processes,
        learner=learner,
        sources=sources,
        objectives=objectives,
        guidance=guided,
        parts=mixed_parts(config),
        rewarded=rewarded,
        credit=credit,
        companions={companion.name: companion for companion in joining},
        failures=failures,
    )


def _credit(
    config: DictConfig, policy: Policy, processes: ProcessGroup, rewarded: Rewarded
) -> Credit:
    settings: dict[str, Any] = {str(k): v for k, v in config.method.credit.items()}
    cut = str(config.method.cut)
    if settings["credit"] != "gae":
        return GroupCredit(settings, rewarded, mask_cut=cut == "mask")
    del settings["credit"]
    critic = ValueHead(policy, processes, config.train.micro_batch_tokens, **settings)
    return CriticCredit(critic, rewarded, cut)


def _rewarding(config: DictConfig) -> list[Companion]:
    """Those that change what episodes are learnt from, in the order in which they are asked."""
    joining: list[Companion] = []
    if config.train.reward_noise:
        joining.append(WrongRewards(config.train.reward_noise, config.seed))
    if config.method.overlong:
        overlong = {"overlong": LengthPenalty}
        joining.append(make("method", "overlong", overlong, config.method.overlong))
    return joining


def _learning(
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
        settings = _optimizer_settings(config)
        joining.append(ImitatedAfterwards(learner, settings, objectives, sources))
    if config.method.rival:
        rival = Rival(policy, learner, **config.method.rival)
        joining.append(Bridged(rival, sources, engine, learner, objectives.exploration, credit))
    return joining


def _recording(
    config: DictConfig,
    policy: Policy,
    processes: ProcessGroup,
    recorder: Recorder,
    sources: Sources,
    credit: Credit,
) -> list[Companion]:
    count = int(config.record.rollouts)
    return [Recording(count, policy, recorder, sources, credit, processes.main)] if count else []


def _optimizer_settings(config: DictConfig) -> OptimizerSettings:
    train = config.train
    return OptimizerSettings(
        lr=train.lr,
        betas=tuple(train.betas),
        weight_decay=train.weight_decay,
        max_norm=train.max_norm,
        horizon=config.method.horizon,
        tangent=config.method.tangent,
        several=train.minibatches * train.epochs > 1,
    )
