"""Credit: from the rewards of a group of episodes to an advantage for every turn.

    advantages(rewards, credit="episode", baseline="std") -> for each member, one number a turn

`rewards` are those of a group (the same task instance): for each member a list by turn, or None for an
episode that failed, which gets none and moves nobody's baseline.

    credit    episode: every turn gets the episode's return
              turn: each turn gets the discounted return from it on
    baseline  none; mean: less the group's mean; others: less the mean of the others (rloo);
              std: (less the mean) / standard deviation (grpo)
              relative: (less the mean) / mean, 0 where the mean is not above 0 (maxrl)

With credit by turn a turn is compared with the same turn of the other members that reached it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.contract import one_of

CREDITS = ("episode", "turn")
BASELINES = ("none", "mean", "others", "std", "relative")
SMALLEST_STD = 1e-6
"""Below, a group's returns are all the same: nothing to learn from."""

Rewards = Sequence[Sequence[float] | None]


def advantages(
    rewards: Rewards, *, credit: str = "episode", baseline: str = "std", gamma: float = 1.0
) -> list[np.ndarray | None]:
    one_of("credit", credit, CREDITS)
    one_of("baseline", baseline, BASELINES)
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma={gamma} must be from 0 to 1")
    returns = [None if r is None else returns_of(r, gamma, credit) for r in rewards]
    out = [None if r is None else np.empty(len(r)) for r in returns]
    longest = max((len(r) for r in returns if r is not None), default=0)
    for turn in range(longest):
        there = [i for i, r in enumerate(returns) if r is not None and len(r) > turn]
        if credit == "episode":  # episodes compare as wholes, however long the others are
            there = [i for i, r in enumerate(returns) if r is not None and len(r)]
        found = against(np.array([_at(returns[i], turn) for i in there]), baseline)
        for i, advantage in zip(there, found, strict=True):
            mine = out[i]
            if mine is not None and len(mine) > turn:
                mine[turn] = advantage
    return out


def returns_of(rewards: Sequence[float], gamma: float, credit: str) -> np.ndarray:
    """What each turn is worth."""
    if credit == "episode":
        return np.full(len(rewards), float(sum(rewards)))
    worth = np.zeros(len(rewards))
    later = 0.0
    for turn in reversed(range(len(rewards))):
        later = rewards[turn] + gamma * later
        worth[turn] = later
    return worth


def against(returns: np.ndarray, baseline: str) -> np.ndarray:
    """Returns less their baseline."""
    if baseline == "none":
        return returns
    if baseline == "others":
        if len(returns) == 1:
            return np.zeros(1)
        return returns - (returns.sum() - returns) / (len(returns) - 1)
    centred = returns - returns.mean()
    if baseline == "mean":
        return centred
    if baseline == "relative":
        mean = float(returns.mean())
        return centred / mean if mean > 0 else np.zeros_like(returns)
    std = returns.std(ddof=1) if len(returns) > 1 else 0.0
    return centred / std if std > SMALLEST_STD else np.zeros_like(returns)


def _at(returns: np.ndarray | None, turn: int) -> float:
    assert returns is not None
    return float(returns[min(turn, len(returns) - 1)])
