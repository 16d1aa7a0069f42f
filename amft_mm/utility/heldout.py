"""heldout: U is the expected return on a held-out set, from fresh rollouts every `every` steps.

What the published method says; it costs `tasks` x group episodes and a backward pass each time.
"""

from __future__ import annotations

from amft_mm.exploration import reinforce
from amft_mm.utility.base import Look, View, look_at


class Heldout:
    while_exploring = False

    def __init__(self, every: int = 20, tasks: int = 8) -> None:
        if every < 1 or tasks < 1:
            raise ValueError(f"utility: every={every} and tasks={tasks} must be at least 1")
        self._every, self._tasks = every, tasks

    def look(self, view: View) -> Look | None:
        if view.number == 0 or view.number % self._every:
            return None
        found = look_at(view.learner, view.play_heldout(self._tasks), reinforce.loss)
        return found if found.norm > 0 else None
