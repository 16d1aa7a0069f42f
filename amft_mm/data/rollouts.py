"""A step's rollouts: played by all processes, credited by group, told in numbers.

    RolloutWorker(world, engine, policy, settings, processes).play(seed, step) -> Played

Each process plays its share of the task instances; a group stays in one process. Failed episodes are
kept out of the examples, and move nobody's baseline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from agents.conversation import OUT_OF_TOKENS, OUT_OF_TURNS, ChatModel, Limits
from agents.demonstrations import Demonstration
from agents.engines.base import Engine, Sampling
from agents.experts import BadEpisode, demonstrate
from agents.policy import Policy
from agents.rollout import Given, Plan, play, summary
from agents.trajectory import Trajectory, by_task
from agents.worlds import World, Worlds
from amft_mm.learning.credit import advantages
from amft_mm.learning.example import Example
from amft_mm.runs.processes import ProcessGroup
from envs.guard import GuardedEnv


@dataclass(frozen=True)
class PlaySettings:
    sampling: Sampling = field(default_factory=Sampling)
    limits: Limits = field(default_factory=Limits)
    slots: int = 128
    """Episodes at once in a process."""
    workers: int = 1
    kind: str = "threads"
    seconds: float | None = 60.0
    replacements: int = 2


@dataclass(frozen=True)
class Guided:
    """Rollouts of task instances that demonstrations are of; see Plan."""

    seeds: tuple[int, ...] | None = None
    given: Mapping[tuple[int, int], Given] = field(default_factory=dict)
    first_member: int = 0


UNGUIDED = Guided()


@dataclass(frozen=True)
class Played:
    mine: list[Trajectory]
    """This process's."""
    metrics: dict[str, float]
    """Of all processes', of the episodes that no expert began; tries, and what went wrong in them, of all."""
    fared: dict[int, float]
    """The share of each task instance's episodes that succeeded, of those."""
    errors: list[dict[str, Any]] = field(default_factory=list)
    """What went wrong in all processes' episodes, also in tries that were replaced."""


class RolloutWorker:
    """A world that is kept open from step to step."""

    def __init__(
        self,
        world: World,
        policy: ChatModel,
        engine: Engine,
        settings: PlaySettings,
        processes: ProcessGroup,
    ) -> None:
        self.world, self._policy, self._engine = world, policy, engine
        self._settings, self._processes = settings, processes
        self._worlds: Worlds | None = None
        self._ahead: tuple[Plan, Future[list[Trajectory]]] | None = None
        self._expert_world: GuardedEnv | None = None

    def play(
        self,
        seed: int,
        step: int,
        tasks: int,
        group: int,
        sampling: Sampling | None = None,
        guided: Guided = UNGUIDED,
    ) -> Played:
        plan = self._plan(seed, step, tasks, group, sampling, guided)
        mine = self._played_ahead(plan) or self._play(plan)
        outcomes = [light(trajectory) for trajectory in mine]
        groups = [outcomes[i : i + group] for i in range(0, len(outcomes), group)]
        everyone = [t for members in self._processes.gather(groups) for t in members]
        self._refuse_limits_that_leave_nothing(everyone)
        unaided = [t for t in everyone if not t.aided]
        (generated,) = self._processes.sum(sum(t.written for t in mine))
        by_instance = by_task(t for t in unaided if not t.failed)
        fared = {task: float(np.mean([t.success for t in ts])) for task, ts in by_instance.items()}
        errors = [error for trajectory in everyone for error in trajectory.errors]
        technical = {
            name: count
            for name, count in summary(everyone).items()
            if name == "tries" or name.startswith("failure/")
        }
        metrics = {**summary(unaided), **technical, "generated": generated}
        return Played(mine, metrics, fared, errors)

    def play_ahead(
        self, thread: Executor, seed: int, step: int, tasks: int, group: int, guided: Guided
    ) -> None:
        """Begins in a thread what `play` will be asked for by the same arguments."""
        plan = self._plan(seed, step, tasks, group, None, guided)
        self._ahead = (plan, thread.submit(self._play, plan))

    def settle(self) -> None:
        """Waits for what is played ahead."""
        if self._ahead is not None:
            wait([self._ahead[1]])

    def _played_ahead(self, plan: Plan) -> list[Trajectory]:
        if self._ahead is None or self._ahead[0] != plan:
            return []
        _, future = self._ahead
        self._ahead = None
        return future.result()

    def _plan(
        self,
        seed: int,
        step: int,
        tasks: int,
        group: int,
        sampling: Sampling | None,
        guided: Guided,
    ) -> Plan:
        settings = self._settings
        return Plan(
            seed=seed,
            step=step,
            tasks=tasks,
            group=group,
            sampling=sampling or settings.sampling,
            limits=settings.limits,
            replacements=settings.replacements,
            share=(self._processes.rank, self._processes.size),
            seeds=guided.seeds,
            given=guided.given,
            first_member=guided.first_member,
        )

    def _play(self, plan: Plan) -> list[Trajectory]:
        settings = self._settings
        if self._worlds is None:
            self._worlds = Worlds(
                self.world,
                settings.slots,
                workers=settings.workers,
                kind=settings.kind,
                seconds=settings.seconds,
            )
        # An engine that answers by the policy's own weights needs all of them at once.
        policy, reads = self._policy, getattr(self._engine, "reads_policy", False)
        with policy.gathered() if reads and isinstance(policy, Policy) else nullcontext():
            return play(self._worlds, policy, self._engine, plan)

    def _refuse_limits_that_leave_nothing(self, everyone: Sequence[Trajectory]) -> None:
        """No success of episodes that had no room for a single answer is no success of the agent's."""
        cut = [t.stop for t in everyone if not t.turns and t.stop in (OUT_OF_TOKENS, OUT_OF_TURNS)]
        if cut and len(cut) == len(everyone):
            limits = self._settings.limits
            raise ValueError(
                f"{self.world.id}: limits leave no room for an answer in any of {len(cut)} episodes, each "
                f"of which ended as {cut[0]} before it (limits.max_tokens={limits.max_tokens}, "
                f"limits.max_turns={limits.max_turns}): raise them"
            )

    def demonstrate(self, seed: int) -> Demonstration | None:
        """The expert's episode of a task instance; None where the world has no expert or it failed."""
        if self._expert_world is None:
            self._expert_world = GuardedEnv(self.world.make, seconds=self._settings.seconds)
        if not hasattr(self._expert_world.unwrapped, "expert"):
            return None
        try:
            return demonstrate(self._expert_world, self.world, seed)
        except (BadEpisode, NotImplementedError):
            return None

    def close(self) -> None:
        if self._expert_world is not None:
            self._expert_world.close()
        if self._worlds is not None:
            self._worlds.close()


def light(trajectory: Trajectory) -> Trajectory:
    """What came of it, without its conversation."""
    return replace(
        trajectory,
        conversation=None,  # type: ignore[arg-type]
        turns=[replace(turn, facts={}, expert=None, feedback="") for turn in trajectory.turns],
    )


def credited(
    trajectories: Sequence[Trajectory], credit: dict[str, Any], *, mask_cut: bool = False
) -> list[Example]:
    """Examples of the episodes that did not fail, group by group. With `mask_cut`, those that a limit
    cut count in the baselines of their groups, and are not learnt from."""
    examples = []
    for members in by_task(trajectories).values():
        outcomes = [float(t.success) for t in members if not t.failed]
        rate = float(np.mean(outcomes)) if outcomes else 0.0
        for trajectory, worth in zip(members, group_credit(members, credit), strict=True):
            if worth is not None and len(worth) and not (mask_cut and trajectory.cut):
                outcome = float(trajectory.success)
                examples.append(
                    Example(trajectory.conversation, worth, outcome=outcome, success_rate=rate)
                )
    return examples


def group_credit(members: Sequence[Trajectory], credit: dict[str, Any]) -> list[np.ndarray | None]:
    """The advantages of a group's answers, member by member; None for those that failed."""
    rewards = [None if t.failed else answer_rewards(t) for t in members]
    states = [t.states() for t in members] if credit.get("credit") == "gigpo" else None
    return advantages(rewards, states=states, **credit)


def with_wrong_rewards(
    trajectories: Sequence[Trajectory], share: float, seed: int, step: int
) -> list[Trajectory]:
    """For studies of bad rewards: that share of the episodes counts as the opposite of what it was. Its
    rewards change their sign (where all are 0 the last one becomes 1), and so does its success."""
    out = []
    for t in trajectories:
        uniform = np.random.default_rng([seed, step, t.task, t.member, 13]).random()
        if uniform < share and t.turns:
            turns = [replace(turn, reward=-turn.reward) for turn in t.turns]
            if not any(turn.reward for turn in turns):
                turns[-1] = replace(turns[-1], reward=1.0)
            t = replace(t, turns=turns, success=not t.success)
        out.append(t)
    return out


def answer_rewards(trajectory: Trajectory) -> list[float]:
    """One reward an answer, also where the last one came to nothing."""
    rewards = trajectory.rewards
    return rewards + [0.0] * (len(trajectory.conversation.answers) - len(rewards))


def play_settings(config: DictConfig) -> PlaySettings:
    """Of a command's configuration."""
    sampling: dict[str, Any] = OmegaConf.to_container(config.sampling)  # type: ignore[assignment]
    how = {name: value for name, value in config.play.items() if not name.startswith("failing")}
    return PlaySettings(Sampling(**sampling), Limits(**config.limits), **how)
