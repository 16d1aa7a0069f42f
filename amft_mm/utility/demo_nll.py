"""demo_nll: U is the log-likelihood of held-out demonstrations, as in the published code.

Kept for comparison: it asks for what imitates, whether or not that is rewarded.
"""

from __future__ import annotations

from amft_mm.imitation import sft
from amft_mm.utility.base import Look, View, look_at


class DemoNLL:
    while_exploring = False

    def __init__(self, every: int = 1, count: int = 8) -> None:
        if every < 1 or count < 1:
            raise ValueError(f"utility: every={every} and count={count} must be at least 1")
        self._every, self._count = every, count

    def look(self, view: View) -> Look | None:
        if view.number == 0 or view.number % self._every:
            return None
        return look_at(view.learner, view.heldout_demonstrations(self._count), sft.loss)
