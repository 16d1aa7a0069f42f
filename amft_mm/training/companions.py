"""What only some methods have, at the joints of a step: `Companion` by itself does nothing.

    begin()                    exploration begins, with the weights as they are
    rewarded(step, episodes)   the episodes as they are to be learnt from
    played(step, groups, row)  the step's rollouts are there; figures for its row
    explored()                 .grad holds a part's exploration gradient
    imitated(mu, scale)        .grad holds its imitation gradient, which is mixed times `scale`
    stepped()                  an update was made
    finished(choices, row)     the last one of the step was; figures for its row

A new one is a subclass, and a line in amft_mm/training/assembly.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.policy import Policy
from agents.trajectory import Trajectory
from amft_mm.config.settings import world_of
from amft_mm.data.overlong import with_length_penalty
from amft_mm.data.rollouts import with_wrong_rewards
from amft_mm.data.sources import Sources
from amft_mm.learning.value import ValueHead
from amft_mm.methods.guidance import Choice, Group
from amft_mm.runs.episodes import Recorder
from amft_mm.training.credit import Credit

Row = dict[str, Any]


class Companion:
    name = ""
    """Under which its state is kept."""
    time = "time/rollout"
    """The figure that `played` is timed by."""

    def begin(self) -> None:
        pass

    def rewarded(self, step: int, episodes: Sequence[Trajectory]) -> Sequence[Trajectory]:
        return episodes

    def played(self, step: int, groups: Sequence[Group], row: Row) -> Row:
        return {}

    def explored(self) -> None:
        pass

    def imitated(self, mu: float, scale: float) -> None:
        pass

    def stepped(self) -> None:
        pass

    def finished(self, choices: Sequence[Choice], row: Row) -> Row:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class WrongRewards(Companion):
    """For studies: a share of the episodes is credited with the opposite of what it got."""

    name = "wrong_rewards"

    def __init__(self, share: float, seed: int) -> None:
        self._share, self._seed = share, seed

    def rewarded(self, step: int, episodes: Sequence[Trajectory]) -> Sequence[Trajectory]:
        return with_wrong_rewards(episodes, self._share, self._seed, step)


class LengthPenalty(Companion):
    """Answers that come near their limit cost something."""

    name = "length_penalty"

    def __init__(self, band: float, penalty: float = 1.0) -> None:
        self._band, self._penalty = band, penalty
        with_length_penalty([], band=band, penalty=penalty)  # mistakes are told at once

    def rewarded(self, step: int, episodes: Sequence[Trajectory]) -> Sequence[Trajectory]:
        return with_length_penalty(episodes, band=self._band, penalty=self._penalty)


class Criticised(Companion):
    """A value head is trained beside the policy."""

    name = "value"

    def __init__(self, critic: ValueHead) -> None:
        self._critic = critic

    def stepped(self) -> None:
        self._critic.step()

    def state_dict(self) -> dict[str, Any]:
        return self._critic.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._critic.load_state_dict(state)


class Recording(Companion):
    """Keeps the first episodes of each environment, to be looked at."""

    name = "recording"

    def __init__(
        self,
        count: int,
        policy: Policy,
        recorder: Recorder,
        sources: Sources,
        credit: Credit,
        writes: bool,
    ) -> None:
        """`writes`: whether this process's are kept. All take part, since they hold the policy together."""
        self._count, self._policy, self._recorder = count, policy, recorder
        self._sources, self._credit, self._writes = sources, credit, writes

    def played(self, step: int, groups: Sequence[Group], row: Row) -> Row:
        with self._policy.gathered():
            if self._writes:
                self._keep(step, groups)
        return {}

    def _keep(self, step: int, groups: Sequence[Group]) -> None:
        seen = set()
        for (number, _), members in groups:
            if number not in seen:
                seen.add(number)
                env = self._sources.parts[number]
                shown, credit = members[: self._count], self._credit.of_group(step, members)
                advantages = None if credit is None else credit[: self._count]
                world = world_of(env.env)
                self._recorder.keep("rollout", step, env.name, shown, world, advantages)


class HeldoutCounted(Companion):
    """What is played to look at a mix is written too, and counts as a step's rollouts do."""

    name = "heldout"

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def finished(self, choices: Sequence[Choice], row: Row) -> Row:
        tokens = self._sources.heldout_tokens()
        return {"tokens/generated": row.get("tokens/generated", 0) + tokens} if tokens else {}
