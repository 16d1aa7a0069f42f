"""heldout: U is the expected return on a held-out set, from fresh rollouts every `every` steps.

What the published method says; it costs `tasks` x group episodes each time.
"""

from __future__ import annotations

from amft_mm.methods.utility.base import MOST, Look, View
from amft_mm.methods.utility.next_rollout import expected_return
from envs.contract import whole_number


class Heldout:
    def __init__(self, every: int = 20, tasks: int = 8) -> None:
        self.every = whole_number("utility.every", every, 1, MOST)
        self._tasks = whole_number("utility.tasks", tasks, 1, MOST)

    def look(self, view: View) -> Look | None:
        if not view.is_due(self.every):
            return None
        groups = view.sources.heldout_rollouts(view.step, self._tasks, view.part.only)
        return expected_return(view.learner, view.part.name, groups, view.temperature)
