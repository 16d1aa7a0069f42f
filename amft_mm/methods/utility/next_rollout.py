"""next_rollout: U is the expected return of the updated policy on task instances that it has not seen.

    d U / d mu = mean over task instances of x
    x          = mean over the group's episodes of (R - mean of the others' R) d log pi(y) / d mu

The rollouts of a step are drawn by the weights that the last mixes made, on fresh instances, so that this
is an estimate without bias, whatever loss the method explores with: its baselines, divisions by a spread or
a length, and clipping do not enter. On validating a meta-gradient by what follows: Xu, van Hasselt,
Silver, arXiv 1805.09801.

Where older weights played them (train.ahead), d log pi / d mu is still that of the present ones, and each
episode's term is weighed by pi(y) / pi_played(y): no bias comes in but by that ratio's bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from agents.trajectory import Trajectory, by_task
from amft_mm.learning.credit import against
from amft_mm.learning.example import Example
from amft_mm.learning.learner import Learner
from amft_mm.methods.utility.base import Look, View, look_at, weighted

Ratios = Callable[[Sequence[Example]], Sequence[float]]


class NextRollout:
    def look(self, view: View) -> Look | None:
        groups = by_task(view.trajectories).values()
        return expected_return(view.learner, view.part.name, groups, view.temperature, view.ratios)


def expected_return(
    learner: Learner,
    part: str,
    groups: Iterable[Sequence[Trajectory]],
    temperature: float = 1.0,
    ratios: Ratios | None = None,
) -> Look | None:
    """A look at it from groups of episodes. What an expert began is not the policy's own, and is left out.
    `ratios` weigh what other weights than the present ones played."""
    played: list[Example] = []
    shares: list[float] = []
    places: list[int] = []
    count = 0
    for members in groups:
        own = [t for t in members if not t.failed and not t.aided and t.conversation.answers]
        if len(own) < 2:
            continue
        worth = against(np.array([t.total_reward for t in own]), "others") / len(own)
        for trajectory, share in zip(own, worth, strict=True):
            if share:
                played.append(Example(trajectory.conversation))
                shares.append(share)
                places.append(count)
        count += 1
    if ratios is not None:
        shares = [share * ratio for share, ratio in zip(shares, ratios(played), strict=True)]
    examples = [weighted(*one) for one in zip(played, shares, strict=True)]
    return look_at(learner, part, examples, places, count, temperature)
