"""Demonstrations that a model plays: its episodes one after another, from which those that succeed are kept.

    for row in played(config, world, first=0):     Demonstration, or BadEpisode where one failed

Episode k is of the task instance of k, as the expert's is. They are played `slots` at once, and always the
same ones together, so that a command that goes on plays on as if it had not stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.conversation import Limits
from agents.demonstrations import Demonstration, recorded
from agents.engines.base import Sampling
from agents.experts import BadEpisode
from agents.rollout import Plan, play
from agents.seeds import demonstration_seed
from agents.trajectory import Trajectory
from agents.worlds import World, Worlds
from amft_mm.config.players import open_process_group, player_of


def played(config: DictConfig, world: World, first: int) -> Iterator[Demonstration | BadEpisode]:
    """Without end, from episode `first` on."""
    open_process_group(config)
    model, engine = player_of(config)
    sampling: dict[str, Any] = OmegaConf.to_container(config.sampling)  # type: ignore[assignment]
    slots = int(config.slots)
    worlds = Worlds(world, slots, seconds=config.seconds)
    try:
        for batch in count(first // slots):
            numbers = range(batch * slots, (batch + 1) * slots)
            plan = Plan(
                seed=config.seed,
                step=batch,
                tasks=slots,
                sampling=Sampling(**sampling),
                limits=Limits(**config.limits),
                seeds=tuple(demonstration_seed(config.seed, number) for number in numbers),
            )
            trajectories = play(worlds, model, engine, plan)
            for number, trajectory in zip(numbers, trajectories, strict=True):
                if number >= first:
                    yield _row(trajectory, world)
    finally:
        worlds.close()


def _row(trajectory: Trajectory, world: World) -> Demonstration | BadEpisode:
    if trajectory.error is not None:
        return BadEpisode(f"{trajectory.error['kind']}: {trajectory.error['message']}")
    return recorded(trajectory, world)
