"""Experts at play: demonstrations from any world that has an expert, clean or spoilt on purpose.

    wrong_actions     each answer is the expert's but for the part that decides, which is wrong
    wrong_answers     each answer is what the expert said at another place, of another episode
    shuffled_pictures each picture is one of another episode; the answers are right

The world goes on as if the answer had been right, so that spoilt demonstrations are as long as clean
ones and differ in nothing else. Which ones are spoilt is a draw for each, so that those spoilt at a
small share are among those spoilt at a larger one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from agents.demonstrations import Demonstration
from agents.worlds import World
from envs.guard import CallFailed, GuardedEnv, failure_of
from envs.shown import shown

KINDS = ("wrong_actions", "wrong_answers", "shuffled_pictures")
LONGEST = 10_000
"""Turns; an expert that needs more has lost its way."""


class BadEpisode(RuntimeError):
    """An episode that gave no demonstration."""


def demonstrate(
    env: GuardedEnv,
    world: World,
    seed: int,
    mistakes: np.random.Generator | None = None,
    slips: float = 0.0,
) -> Demonstration:
    """One episode of the expert; with `mistakes`, what is written down has a wrong action each turn.

    `slips` is how often the expert makes a mistake first, and mends it after the world's answer; slips
    are shown, and not imitated. For worlds that give a second try."""
    demonstration = Demonstration(
        name=f"{world.id}/{seed}",
        messages=[],
        answers=[],
        world=world.id,
        options=json.dumps(world.options, sort_keys=True),
        seed=seed,
    )
    observation, info = env.reset(seed=seed)
    rng, slipped = np.random.default_rng([seed, 9]), False
    for turn in range(LONGEST):
        if (failure := failure_of(info)) is not None:
            raise BadEpisode(f"{failure['kind']}: {failure['message']}")
        _show(demonstration, observation, info)
        expert = _asked(env, "expert")
        slipped = not slipped and bool(rng.random() < slips)
        if slipped:
            expert = _asked(env, "mistake", rng)
            demonstration.slips.append(turn)
        said = _asked(env, "mistake", mistakes) if mistakes else expert
        demonstration.answers.append(said)
        observation, reward, terminated, truncated, info = env.step(expert)
        demonstration.rewards.append(float(reward))
        demonstration.verdicts.append(str(info.get("verdict") or ""))
        if (terminated or truncated) and failure_of(info) is None:
            demonstration.success = bool(info.get("success", False))
            demonstration.stop = str(info.get("ended_by") or "")
            return demonstration
    raise BadEpisode(f"the expert was not done after {LONGEST} turns")


def _asked(env: GuardedEnv, method: str, *arguments: Any) -> str:
    try:
        said = str(env.ask(method, *arguments))
        said.encode("utf-8")
    except (CallFailed, UnicodeEncodeError) as error:
        raise BadEpisode(str(error)) from None
    return said


def _show(demonstration: Demonstration, observation: Any, info: dict[str, Any]) -> None:
    try:
        told = shown(observation, info)
    except ValueError as error:
        raise BadEpisode(str(error)) from None
    if not demonstration.messages:
        demonstration.brief(told.briefing)
    demonstration.show(told.text, told.images, told.tool)


def is_spoilt(seed: int, episode_seed: int, share: float) -> bool:
    return float(np.random.default_rng([seed, episode_seed, 7]).random()) < share


def spoilt(
    world: World,
    seed: int,
    kind: str,
    rng: np.random.Generator,
    play: Callable[..., Demonstration],
) -> Demonstration:
    """The demonstration of `seed`, spoilt. `play(seed, mistakes=None)` plays an episode."""
    if kind == "wrong_actions":
        return replace(play(seed, rng), corrupted=kind)
    mine, other = play(seed), play(int(rng.integers(2**31)))
    if kind == "wrong_answers":
        places = rng.integers(len(other.answers), size=len(mine.answers))
        answers = [other.answers[i] for i in places]
        return replace(mine, answers=answers, corrupted=kind)
    if not mine.pictures:
        raise ValueError(f"corrupt.kind={kind} needs pictures, but {world.id} shows none")
    places = rng.integers(len(other.pictures), size=len(mine.pictures))
    return replace(mine, pictures=[other.pictures[i] for i in places], corrupted=kind)
