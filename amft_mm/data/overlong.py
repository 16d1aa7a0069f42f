"""Soft overlong shaping (DAPO, arXiv 2503.14476, section 3.4): answers that come near their limit cost.

    r_t <- r_t - penalty clip((|y_t| - (1 - band) L) / (band L), 0, 1)

|y_t| counts the tokens that the agent wrote itself at turn t, L is the limit of one answer
(`limits.max_new_tokens`). The authors' band is a fifth (4,096 of 20,480) and their penalty 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agents.trajectory import Trajectory
from envs.contract import share


def with_length_penalty(
    trajectories: Sequence[Trajectory], *, band: float, penalty: float = 1.0
) -> list[Trajectory]:
    share("overlong.band", band)
    if not (band > 0 and 0 <= penalty < float("inf")):
        raise ValueError(f"overlong: band={band} must be above 0, and penalty={penalty} 0 or above")
    return [_shaped(trajectory, band, penalty) for trajectory in trajectories]


def _shaped(trajectory: Trajectory, band: float, penalty: float) -> Trajectory:
    limit = trajectory.conversation.limits.max_new_tokens
    turns = []
    for turn, answer in zip(trajectory.turns, trajectory.conversation.answers, strict=False):
        own = answer.stop - answer.start - answer.given
        over = (own - (1 - band) * limit) / (band * limit)
        turns.append(replace(turn, reward=turn.reward - penalty * min(max(over, 0.0), 1.0)))
    return replace(trajectory, turns=turns)
