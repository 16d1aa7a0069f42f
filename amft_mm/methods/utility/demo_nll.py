"""demo_nll: U is the log-likelihood of held-out demonstrations (a sum over tokens), as in the published code.

Kept for comparison: it asks for what imitates, whether or not that is rewarded.
"""

from __future__ import annotations

from amft_mm.methods.utility.base import MOST, Look, View, look_at
from envs.contract import whole_number


class DemoNLL:
    def __init__(self, every: int = 1, count: int = 8) -> None:
        self.every = whole_number("utility.every", every, 1, MOST)
        self._count = whole_number("utility.count", count, 1, MOST)

    def look(self, view: View) -> Look | None:
        if not view.is_due(self.every):
            return None
        examples = view.sources.heldout_demonstrations(view.step, self._count, view.part.only)
        count = len(examples)
        return look_at(view.learner, view.part.name, examples, range(count), count)
