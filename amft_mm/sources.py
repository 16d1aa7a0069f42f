"""What a step learns from: rollouts and demonstrations of every environment of a run.

Everything drawn is a function of (seed, step). Each process gets its own part of what the team's step
asks for; figures are the team's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from agents.demonstrations import Demonstration, Demonstrations
from agents.engines.base import Engine
from agents.policy import Policy
from agents.seeds import mixed_seed
from agents.trajectory import Trajectory
from amft_mm.learner import Example
from amft_mm.rollouts import Stage, credited, play_settings
from amft_mm.settings import EnvPart, dealt, parts_of, world_of
from amft_mm.team import Team

HELDOUT_SEED = 2**29
"""Added to the run's seed where something is drawn that no step trains on."""


class Sources:
    def __init__(self, config: DictConfig, policy: Policy, engine: Engine, team: Team) -> None:
        self._seed, self._tasks, self._group = config.seed, config.train.tasks, config.train.group
        settings = play_settings(config)
        self._policy, self._team, self._limits = policy, team, settings.limits
        self.parts = parts_of(config.env)
        self._shares = [part.share for part in self.parts]
        self._demonstrations = (
            [demonstrations_of(config, part) for part in self.parts] if config.demos.folder else []
        )
        self._stages = [
            Stage(world_of(part.env), policy, engine, settings, team) for part in self.parts
        ]

    def rollouts(self, step: int) -> tuple[list[Trajectory], dict[str, Any]]:
        """Those of this process, and figures."""
        mine: list[Trajectory] = []
        row: dict[str, Any] = {}
        figures: list[dict[str, float]] = []
        counts = dealt(self._tasks, self._shares, step)
        for number, (part, stage, tasks) in enumerate(
            zip(self.parts, self._stages, counts, strict=True)
        ):
            if not tasks:
                continue
            played = stage.play(self._seed, step, tasks, self._group)
            # Tasks are told apart by their number, over all environments.
            mine += [replace(t, task=t.task + number * self._tasks) for t in played.mine]
            figures.append(played.metrics)
            if len(self.parts) > 1 and "success" in played.metrics:
                row[f"rollout/{part.name}/success"] = played.metrics["success"]
        row |= {f"rollout/{k}": v for k, v in together(figures).items() if k != "generated"}
        row["tokens/generated"] = sum(f["generated"] for f in figures)
        return mine, row

    def demonstrations(self, step: int, count: int, only: str | None = None) -> list[Example]:
        """Of one environment, if `only` names it."""
        if not self._demonstrations:
            raise ValueError(
                f"step {step} wants demonstrations, and demos.n=0: with method=grpo (or another that "
                "explores alone) and train.warmup_steps=0 none are needed"
            )
        counts = self._dealt(count, step, only)
        rows = [
            row
            for demonstrations, wanted in zip(self._demonstrations, counts, strict=True)
            for row in demonstrations.batch(self._seed, step, wanted)
        ]
        return self._examples(self._team.mine(rows))

    def heldout_rollouts(self, step: int, tasks: int, only: str | None = None) -> list[Example]:
        """Of the training split, by seeds that no step draws; credited with return less the mean."""
        examples: list[Example] = []
        for stage, count in zip(self._stages, self._dealt(tasks, step, only), strict=True):
            if count:
                played = stage.play(HELDOUT_SEED + self._seed, step, count, self._group)
                examples += credited(played.mine, {"credit": "episode", "baseline": "mean"})
        return examples

    def heldout_demonstrations(
        self, step: int, count: int, only: str | None = None
    ) -> list[Example]:
        """The expert's episodes of seeds that no step draws."""
        stages = [
            stage
            for stage, number in zip(self._stages, self._dealt(count, step, only), strict=True)
            for _ in range(number)
        ]
        wanted = [(stage, mixed_seed(HELDOUT_SEED, step, k)) for k, stage in enumerate(stages)]
        return self._examples(stage.demonstrate(seed) for stage, seed in self._team.mine(wanted))

    def expert_of(self, trajectory: Trajectory) -> Example | None:
        """The expert's episode of the task instance of a rollout."""
        stage = self._stages[self._number(trajectory)]
        return next(iter(self._examples([stage.demonstrate(trajectory.seed)])), None)

    def env_of(self, trajectory: Trajectory) -> str:
        return self.parts[self._number(trajectory)].name

    def _number(self, trajectory: Trajectory) -> int:
        return trajectory.task // self._tasks

    def _dealt(self, count: int, step: int, only: str | None) -> list[int]:
        counts = dealt(count, self._shares, step)
        wanted = [only in (None, part.name) for part in self.parts]
        return [number if here else 0 for number, here in zip(counts, wanted, strict=True)]

    def _examples(self, rows: Iterable[Demonstration | None]) -> list[Example]:
        """What can be imitated: conversations in which the limits leave an answer."""
        conversations = (row.conversation(self._policy, self._limits) for row in rows if row)
        return [Example(conversation) for conversation in conversations if conversation.answers]

    def close(self) -> None:
        for stage in self._stages:
            stage.close()


def demonstrations_of(config: DictConfig, part: EnvPart) -> Demonstrations:
    """Those of an environment: in a folder of its name, or in the one folder that there is."""
    own = Path(config.demos.folder) / part.name
    return Demonstrations(own if own.is_dir() else config.demos.folder)


def together(figures: Sequence[dict[str, float]]) -> dict[str, float]:
    """Figures of several environments: counts add up, shares and means by numbers of episodes."""
    counts = ("episodes", "failed", "generated")
    out: dict[str, float] = {name: sum(f[name] for f in figures) for name in counts}
    for name in sorted({key for f in figures for key in f} - set(counts)):
        if name.startswith("failure/"):
            out[name] = sum(f.get(name, 0) for f in figures)
        else:
            weights = [f["episodes"] for f in figures]
            parts = (f.get(name, 0.0) * w for f, w in zip(figures, weights, strict=True))
            out[name] = sum(parts) / sum(weights)
    return out
