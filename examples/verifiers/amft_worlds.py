"""Worlds of this suite for verifiers: a taskset of instances, and an environment that plays them.

    vf-eval amft_worlds --env.taskset.world amft/GeneralPoints-v0 --env.taskset.split id

Each task is an instance by its number. The reward is the episode's return; `success` is a metric.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import verifiers.v1 as vf
from pydantic import Field

from envs.protocols.session import Session

__all__ = ["WorldEnv", "WorldTaskset"]


class WorldData(vf.TaskData):
    world: str
    arguments: dict[str, Any]
    split: str | None
    index: int


class WorldTask(vf.Task[WorldData]):
    pass


class WorldConfig(vf.TasksetConfig):
    world: str = "amft/GeneralPoints-v0"
    arguments: dict[str, Any] = Field(default_factory=lambda: {"modality": "text"})
    split: str | None = None
    tasks: int = 100


class WorldTaskset(vf.Taskset[WorldTask, WorldConfig]):
    def load(self) -> Iterator[WorldTask]:
        config = self.config
        for index in range(config.tasks):
            data = WorldData(
                name=f"{config.split or 'task'}-{index}",
                world=config.world,
                arguments=config.arguments,
                split=config.split,
                index=index,
            )
            yield WorldTask(data, config.task)


class WorldEnvConfig(vf.EnvConfig):
    player: vf.AgentConfig = vf.AgentConfig(harness={"id": "null"})


class WorldEnv(vf.Env[WorldEnvConfig]):
    async def run(self, task: WorldTask, agents: Any) -> None:
        session = Session(task.data.world, task.data.arguments)
        shown = session.reset(split=task.data.split, index=task.data.index)
        async with agents.player.interaction(task) as interaction:
            segment = await interaction.turn(message(shown))
            while not segment.terminated:
                shown = session.answer(segment.last_reply)
                if shown["done"]:
                    break
                segment = await interaction.turn(message(shown))
        interaction.trace.record_reward("return", session.total_reward)
        interaction.trace.record_metric("success", float(session.success))
        session.close()


def message(shown: dict[str, Any]) -> str | list[Any]:
    """A user's turn: text alone, or new pictures and the text."""
    if not shown["images"]:
        return shown["text"]
    pictures = [
        vf.ImageUrlContentPart(image_url=vf.ImageUrlSource(url=f"data:image/png;base64,{data}"))
        for data in shown["images"]
    ]
    return [vf.UserMessage(content=[*pictures, vf.TextContentPart(text=shown["text"])])]
