"""heldout: U is the expected return on a held-out set, from fresh rollouts every `every` steps.

What the published method says; it costs `tasks` x group episodes and a backward pass each time.
"""

from __future__ import annotations

from amft_mm.methods.exploration import reinforce
from amft_mm.methods.utility.base import MOST, Look, View, look_at
from envs.contract import whole_number


class Heldout:
    def __init__(self, every: int = 20, tasks: int = 8) -> None:
        self._every = whole_number("utility.every", every, 1, MOST)
        self._tasks = whole_number("utility.tasks", tasks, 1, MOST)

    def look(self, view: View) -> Look | None:
        if not view.is_due(self._every):
            return None
        examples = view.sources.heldout_rollouts(view.step, self._tasks, view.part.only)
        found = look_at(view, examples, reinforce.loss)
        return found if found.norm > 0 else None
