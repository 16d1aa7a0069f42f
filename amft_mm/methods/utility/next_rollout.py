"""next_rollout: U is the expected return of the updated policy on task instances that it has not seen.

The next step's exploration gradient estimates -grad U without bias (ratio 1, nothing clipped; with
advantages divided by the group's standard deviation, that of a rescaled return), so that a look costs one
product. On validating a meta-gradient by what follows: Xu, van Hasselt, Silver, arXiv 1805.09801.
"""

from __future__ import annotations

from amft_mm.learning.gradients import norm_of
from amft_mm.methods.utility.base import Look, View


class NextRollout:
    def look(self, view: View) -> Look | None:
        if not view.learnable:
            return None
        taken = view.learner.mixed.exploration
        own = {p: taken[p] for p in view.learner.parameters if p in taken}
        return Look(-view.learner.mixed.along(view.part.name, own), norm_of(own))
