"""The worlds' own prompts and the forms of their answers.

What is seen is answered rightly and what is to be done is drawn at random, so that no task's policy is
taught.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import gymnasium

import envs  # noqa: F401 - makes the worlds known
from amft_mm.pretraining.cards import DECKS, RULES
from amft_mm.pretraining.exercise import Exercise, Rng, Turn, pick
from amft_mm.pretraining.streets import STREET_SIZES
from envs.virl.actions import directions


def cards_form(rng: Rng, visual: bool = True) -> Exercise:
    """General Points: the cards are read rightly, the formula is any formula of their numbers."""
    env = _world(
        "amft/GeneralPoints-v0",
        modality="visual" if visual else "text",
        deck=pick(rng, DECKS[1:3]),
        colors=pick(rng, ("black", "red")),
        face_rule=pick(rng, RULES),
        size=(112, 112),
        prompts=pick(rng, ("fixed", "varied")),
        split="train",
    )

    def answer(facts: dict[str, Any]) -> str:
        ranks, numbers = [name[:-1] for name in facts["cards"]], facts["numbers"]
        fields = {"cards": ranks, "number": numbers, "formula": f"{any_formula(rng, numbers)}=24"}
        return json.dumps(fields)

    return _played(env, rng, answer, most=int(rng.integers(1, 6)))


def any_formula(rng: Rng, numbers: list[int]) -> str:
    """A formula of all numbers in any order with any signs and any one pair of parentheses."""
    parts = [str(numbers[i]) for i in rng.permutation(len(numbers))]
    signs = [pick(rng, "+-*/" if rng.random() < 0.2 else "+-*") for _ in parts[1:]]
    if rng.random() < 0.6:
        first = int(rng.integers(0, len(parts) - 1))
        last = first + (2 if first + 2 < len(parts) and rng.random() < 0.3 else 1)
        parts[first], parts[last] = f"({parts[first]}", f"{parts[last]})"
    return "".join(part + sign for part, sign in zip(parts, [*signs, ""], strict=True))


def street_form(rng: Rng, visual: bool = True) -> Exercise:
    """V-IRL: the observation is right; instruction and action are any that there are."""
    style = pick(rng, ("absolute", "absolute", "relative"))
    side = STREET_SIZES[0]
    env = _world(
        "amft/VIRL-v0",
        modality="visual" if visual else "text",
        actions=style,
        size=(side, side),
        prompts=pick(rng, ("fixed", "fixed", "varied")),
        out_of_attempts="move_on",
        attempts=pick(rng, (1, 2)),  # with 2, what is said after a mistake comes too
    )

    def answer(facts: dict[str, Any]) -> str:
        action = pick(rng, ("forward()", "stop()", "turn", "turn"))
        if action == "turn":
            action = f"turn_direction({pick(rng, directions(style))})"
        fields = {
            "current observation": facts["observation"],
            "current instruction": str(int(rng.integers(len(facts["instructions"]))) + 1),
            "action": action,
        }
        return json.dumps(fields)

    return _played(env, rng, answer, most=int(rng.integers(1, 9)))


def math_form(rng: Rng) -> Exercise:
    r"""Math: an answer in its box, which is any small number."""
    env = _world(
        "amft/Math-v0",
        source="chain_sum",
        split="train",
        prompts=pick(rng, ("fixed", "fixed", "varied")),
    )

    def answer(facts: dict[str, Any]) -> str:
        return rf"The answer is \boxed{{{int(rng.integers(-20, 31))}}}."

    return _played(env, rng, answer, most=1)


@lru_cache(maxsize=64)
def _made(name: str, options: tuple[tuple[str, Any], ...]) -> Any:
    return gymnasium.make(name, disable_env_checker=True, **dict(options)).unwrapped


def _world(name: str, **options: Any) -> Any:
    return _made(name, tuple(sorted(options.items())))


def _played(env: Any, rng: Rng, answer: Callable[[dict[str, Any]], str], most: int) -> Exercise:
    """A few turns of an episode in which `answer` writes what the agent says."""
    observation, info = env.reset(seed=int(rng.integers(2**31)))
    turns: Exercise = []
    while len(turns) < most and not info["ended_by"]:
        image = observation.get("image") if info["new_image"] else None
        turns.append(Turn(observation["text"], image, answer(info)))
        observation, _, _, _, info = env.step(turns[-1].answer)
    return turns
