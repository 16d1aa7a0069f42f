"""log_success: U is the mean over unseen task instances of log P(success | x).

Where some of a group's episodes succeed, the gradient is the mean of grad log pi over these. Where none
does, the expert's episode is a witness: log P(success | x) >= log pi(y* | x), and its gradient is used. So
it asks for imitation where exploration is blind, and for exploration where it can see.
"""

from __future__ import annotations

import numpy as np

from agents.trajectory import Trajectory
from amft_mm.exploration import reinforce
from amft_mm.learner import Example
from amft_mm.utility.base import Look, View, look_at


class LogSuccess:
    while_exploring = False

    def __init__(self, every: int = 1) -> None:
        if every < 1:
            raise ValueError(f"utility: every={every} must be at least 1")
        self._every = every

    def look(self, view: View) -> Look | None:
        if view.number == 0 or view.number % self._every:
            return None
        groups: dict[int, list[Trajectory]] = {}
        for trajectory in view.trajectories:
            if not trajectory.failed and trajectory.conversation.answers:
                groups.setdefault(trajectory.task, []).append(trajectory)
        examples: list[Example] = []
        for members in groups.values():
            won = [t for t in members if t.success]
            for trajectory in won:
                examples.append(_weighted(Example(trajectory.conversation), 1 / len(won)))
            if not won:
                witness = view.demonstrated(members[0])
                if witness is not None:
                    examples.append(_weighted(witness, 1.0))
        found = look_at(view.learner, examples, reinforce.loss)
        return found if found.norm > 0 else None


def _weighted(example: Example, weight: float) -> Example:
    return Example(example.conversation, np.full(len(example.conversation.answers), weight))
