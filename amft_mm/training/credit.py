"""From a step's episodes to examples: by comparing the members of a group, or by a critic.

credit.examples(step, episodes, minibatches)   what the exploration loss is shown, in so many parts
credit.of_group(step, members)                 a group's advantages, where they are known without the model
credit.critic                                  what learns from the same pass as the policy, if anything does
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from agents.trajectory import Trajectory
from amft_mm.data.rollouts import answer_rewards, credited, group_credit
from amft_mm.learning.example import Example
from amft_mm.learning.learner import Critic
from amft_mm.learning.value import ValueHead

Rewarded = Callable[[int, Sequence[Trajectory]], Sequence[Trajectory]]
"""The episodes of a step as they are to be learnt from."""


class Credit(Protocol):
    @property
    def critic(self) -> Critic | None: ...

    def examples(
        self, step: int, episodes: Sequence[Trajectory], minibatches: int = 1
    ) -> list[Example]: ...

    def of_group(
        self, step: int, members: Sequence[Trajectory]
    ) -> list[np.ndarray | None] | None: ...


class GroupCredit:
    """Each answer against those of its group (amft_mm/learning/credit.py)."""

    critic: Critic | None = None

    def __init__(
        self, settings: dict[str, Any], rewarded: Rewarded, *, mask_cut: bool = False
    ) -> None:
        """With `mask_cut`, what limits ended is compared with and not learnt from."""
        self._settings, self._rewarded, self._mask_cut = settings, rewarded, mask_cut

    def examples(
        self, step: int, episodes: Sequence[Trajectory], minibatches: int = 1
    ) -> list[Example]:
        rewarded = self._rewarded(step, episodes)
        return credited(rewarded, self._settings, mask_cut=self._mask_cut)

    def of_group(self, step: int, members: Sequence[Trajectory]) -> list[np.ndarray | None] | None:
        return group_credit(self._rewarded(step, members), self._settings)


class CriticCredit:
    """Each answer against what a value head expected (amft_mm/learning/value.py)."""

    def __init__(self, critic: ValueHead, rewarded: Rewarded, cut: str = "learn") -> None:
        """`cut`: of episodes that limits ended, `mask` learns nothing, and `bootstrap` takes what would
        have come to be worth what the critic says."""
        self.critic, self._rewarded, self._cut = critic, rewarded, cut

    def examples(
        self, step: int, episodes: Sequence[Trajectory], minibatches: int = 1
    ) -> list[Example]:
        whole = [t for t in self._rewarded(step, episodes) if not t.failed]
        whole = [t for t in whole if t.conversation.answers]
        if self._cut == "mask":
            whole = [t for t in whole if not t.cut]
        examples = [Example(t.conversation) for t in whole]
        cut = [self._cut == "bootstrap" and t.cut for t in whole]
        return self.critic.credited(examples, [answer_rewards(t) for t in whole], cut, minibatches)

    def of_group(self, step: int, members: Sequence[Trajectory]) -> list[np.ndarray | None] | None:
        return None
