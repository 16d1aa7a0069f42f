"""A step's rollouts in minibatches, and what its updates tell together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from agents.trajectory import Trajectory
from amft_mm.data.sources import Sources
from amft_mm.learning.example import Example
from amft_mm.methods.guidance import Choice, Group
from amft_mm.methods.guidance.base import success_rate
from amft_mm.methods.parts import MixedPart
from amft_mm.runs.processes import ProcessGroup
from amft_mm.training.companions import Row


@dataclass
class Minibatch:
    """What an update of the single stage has to go by."""

    step: int
    """Of the run."""
    number: int
    """Of the single stage, from 0."""
    choice: Choice
    groups: list[Group]
    """This process's episodes."""
    share: tuple[int, int]
    """(k, n): of the step's demonstrations, every n-th from the k-th on."""
    staleness: int = 0
    """How many steps older than the present ones the weights are that played."""
    examples: dict[str, list[Example]] = field(default_factory=dict)
    """What is explored, by the part of the step."""

    @cached_property
    def success(self) -> dict[int, float | None]:
        """Of each task instance's group."""
        return {members[0].task: success_rate(members) for _, members in self.groups}

    def explored(self, part: MixedPart, sources: Sources) -> list[Trajectory]:
        """The episodes that a part of the step explores."""
        return [t for t in self.choice.explore if self._has(part, t, sources)]

    def groups_of(self, part: MixedPart, sources: Sources) -> list[Group]:
        return [group for group in self.groups if self._has(part, group[1][0], sources)]

    def _has(self, part: MixedPart, episode: Trajectory, sources: Sources) -> bool:
        return part.has(sources.env_of(episode), self.success.get(episode.task))


def divided(groups: Sequence[Group], count: int, processes: ProcessGroup) -> list[list[Group]]:
    """This process's groups in `count` minibatches, or in fewer where there are fewer groups. Each has a
    share of every environment's, and which group is in which does not depend on the processes."""
    if count == 1:
        return [list(groups)]
    tasks = sorted(processes.gather([members[0].task for _, members in groups]))
    count = max(1, min(count, len(tasks)))
    places = {task: place % count for place, task in enumerate(tasks)}
    parts: list[list[Group]] = [[] for _ in range(count)]
    for group in groups:
        parts[places[group[1][0].task]].append(group)
    return parts


def over_updates(rows: Sequence[Row], minibatches: int) -> Row:
    """Figures of a step's updates: of tokens those of one epoch, of what was sampled those of the first
    update, of how far the policy moved that of the last, of the rest means."""
    if len(rows) == 1:
        return {name: value for name, value in rows[0].items() if name != "policy/moved"}
    out = dict(rows[0]) | {"updates": len(rows)}
    for name in {name: None for row in rows for name in row}:
        values = [row[name] for row in rows if row.get(name) is not None]
        if name.startswith("tokens/"):
            out[name] = sum(row.get(name, 0) for row in rows[:minibatches])
        elif name.startswith(("rollout/", "meta/")):
            continue
        elif values and isinstance(values[0], float):
            out[name] = sum(values) / len(values)
    if "policy/moved" in out:
        out["policy/moved"] = rows[-1].get("policy/moved")
    return out
