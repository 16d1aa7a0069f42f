"""Credit: from the rewards of a group of episodes to an advantage for every turn.

    advantages(rewards, credit="episode", baseline="std") -> for each member, one number a turn

`rewards` are those of a group (the same task instance): for each member a list by turn, or None for an
episode that failed, which gets none and moves nobody's baseline.

    credit    episode: every turn gets the episode's return, R = sum_t r_t; there is no discount
              turn: each turn gets the discounted return from it on, G_t = sum_k gamma^k r_(t+k)
              gigpo: the advantage of R among the episodes, and `weight` times that of G_t among all
              turns of the group that were in the same state (GiGPO, arXiv 2505.10978). Mean and std of R are
              over one entry an episode; the official code's default takes them over every turn's row
              (compute_mean_std_cross_steps), so that long episodes count more there
    baseline  none; mean: less the group's mean; others: less the mean of the others (rloo);
              std: (less the mean) / standard deviation (grpo)
              lowest: (less the mean) / (mean less the group's lowest), 0 where all are alike. Of returns of
              0 and 1 that is (less the mean) / mean, as maxrl has it, and of others the same whatever the two
              are worth; a success counts the more the rarer it is

With credit by turn a turn is compared with the same turn of the other members that reached it. Where no
other did, it is compared with all turns of the others: what they did does not depend on it, so the gradient
stays unbiased, and the one episode that goes on longest is not left without any credit. The members that
reach a late turn differ from the others systematically, which gigpo avoids: `states` says, for each member
and turn, which state it was in. A state that was met once says nothing there.

A group of one has nobody to be compared with: its advantages are 0 but for `none`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.contract import one_of

CREDITS = ("episode", "turn", "gigpo")
BASELINES = ("none", "mean", "others", "std", "lowest")
SMALLEST_STD = 1e-6
"""Below, a group's returns are all the same: nothing to learn from."""

Rewards = Sequence[Sequence[float] | None]
States = Sequence[Sequence[str] | None]


def check(
    *, credit: str = "episode", baseline: str = "std", gamma: float = 1.0, weight: float = 1.0
) -> None:
    """What is wrong with such settings is an error."""
    one_of("method.credit.credit", credit, CREDITS)
    one_of("method.credit.baseline", baseline, BASELINES)
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma={gamma} must be from 0 to 1")
    if credit == "episode" and gamma != 1:
        raise ValueError(
            f"credit=episode gives every turn the whole return, without a discount, but gamma={gamma}: "
            "use credit=turn or gigpo, or gamma=1"
        )
    if not 0 <= weight < float("inf"):
        raise ValueError(f"weight={weight} must be 0 or above")
    if credit != "gigpo" and weight != 1:
        raise ValueError(f"weight={weight} is of credit=gigpo, not of credit={credit}")


def advantages(
    rewards: Rewards,
    *,
    credit: str = "episode",
    baseline: str = "std",
    gamma: float = 1.0,
    weight: float = 1.0,
    states: States | None = None,
) -> list[np.ndarray | None]:
    check(credit=credit, baseline=baseline, gamma=gamma, weight=weight)
    if credit == "turn":
        return _by_turn(_returns(rewards, gamma), baseline)
    whole = _by_episode(rewards, baseline)
    if credit == "episode":
        return whole
    if states is None:
        raise ValueError("credit=gigpo compares turns in the same state: it needs `states`")
    by_state = _by_state(_returns(rewards, gamma), states, baseline)
    return [
        None if of_episode is None or of_state is None else of_episode + weight * of_state
        for of_episode, of_state in zip(whole, by_state, strict=True)
    ]


def returns_of(rewards: Sequence[float], gamma: float) -> np.ndarray:
    """What comes from each turn on."""
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
    if baseline == "lowest":
        above = float(returns.mean() - returns.min())
        return centred / above if above > SMALLEST_STD else np.zeros_like(returns)
    std = returns.std(ddof=1) if len(returns) > 1 else 0.0
    return centred / std if std > SMALLEST_STD else np.zeros_like(returns)


def _returns(rewards: Rewards, gamma: float) -> list[np.ndarray | None]:
    return [None if r is None else returns_of(r, gamma) for r in rewards]


def _by_episode(rewards: Rewards, baseline: str) -> list[np.ndarray | None]:
    """Episodes compare as wholes, however long they are."""
    played = [r for r in rewards if r]  # of at least one turn
    found = iter(against(np.array([float(sum(r)) for r in played]), baseline) if played else ())
    return [None if r is None else np.full(len(r), next(found) if r else 0.0) for r in rewards]


def _by_turn(returns: Sequence[np.ndarray | None], baseline: str) -> list[np.ndarray | None]:
    out = [None if r is None else np.zeros(len(r)) for r in returns]
    played = [(r, o) for r, o in zip(returns, out, strict=True) if r is not None and o is not None]
    for turn in range(max((len(r) for r, _ in played), default=0)):
        there = [i for i, (r, _) in enumerate(played) if len(r) > turn]
        compared = [played[i][0][turn] for i in there]
        if len(there) == 1:
            compared += [g for i, (r, _) in enumerate(played) if i != there[0] for g in r]
        found = against(np.array(compared), baseline)
        for i, advantage in zip(there, found, strict=False):
            played[i][1][turn] = advantage
    return out


def _by_state(
    returns: Sequence[np.ndarray | None], states: States, baseline: str
) -> list[np.ndarray | None]:
    out = [None if r is None else np.zeros(len(r)) for r in returns]
    places: dict[str, list[tuple[int, int]]] = {}
    for member, (mine, keys) in enumerate(zip(returns, states, strict=True)):
        if mine is not None:
            for turn, key in zip(range(len(mine)), keys or (), strict=True):
                places.setdefault(key, []).append((member, turn))
    for same in places.values():
        found = against(np.array([returns[i][turn] for i, turn in same]), baseline)  # type: ignore[index]
        for (i, turn), advantage in zip(same, found, strict=True):
            out[i][turn] = advantage  # type: ignore[index]
    return out
