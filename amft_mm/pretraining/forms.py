"""The worlds' own prompts and the forms of their answers.

What is seen is answered rightly and what is to be done is drawn at random, so that no task's policy is
taught.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

import gymnasium

import envs  # noqa: F401 - makes the worlds known
from amft_mm.pretraining.cards import DECKS, RULES
from amft_mm.pretraining.exercise import Exercise, Rng, Turn, pick
from amft_mm.pretraining.reckoning import chain, derivation, reckoned
from amft_mm.pretraining.streets import STREET_SIZES, a_place_in_town, here_words
from envs.general_points.formula import read_formula
from envs.general_points.prompts import EXAMPLES, right_answer, values
from envs.virl import grid
from envs.virl.actions import Style, directions
from envs.virl.city_files import load_city
from envs.virl.geo import VIEW_SIDES
from envs.virl.language import BRIEF_SIDES, sighting_words
from envs.virl.route import Place


def cards_form(rng: Rng, visual: bool = True) -> Exercise:
    """General Points: the cards are read rightly, the formula is any formula of their numbers; seven times in
    ten with any derivation before it."""
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

    steps = rng.random() < 0.7

    def answer(facts: dict[str, Any]) -> str:
        ranks, numbers = [name[:-1] for name in facts["cards"]], facts["numbers"]
        if steps:
            return reckoned(rng, ranks, numbers)
        formula = any_formula(rng, numbers)
        value = read_formula(formula).value
        if value is not None and value == int(value):
            formula += f"={value}"
        return json.dumps({"cards": ranks, "number": numbers, "formula": formula})

    played = _played(env, rng, answer, most=int(rng.integers(1, 6)))
    if steps:
        played[0] = replace(played[0], text=_with_steps(played[0].text))
    return played


def _with_steps(prompt: str) -> str:
    """The prompt whose example shows a derivation, too."""
    for plain, derived in _examples():
        prompt = prompt.replace(plain, derived)
    return prompt


@cache
def _examples() -> list[tuple[str, str]]:
    """The prompts' own examples, without and with steps."""
    pairs = [(cards, values(cards)) for cards in EXAMPLES]
    return [
        (right_answer(cards, of, 24, "none"), right_answer(cards, of, 24, "steps"))
        for cards, of in pairs
    ]


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


def short_street_form(rng: Rng, visual: bool = True) -> Exercise:
    """Streets in short words: what is seen is right, and whether it is what some line waits for; which
    line is looked at, which is named and what is done are any."""
    town, place, heading = a_place_in_town(rng)
    turns: Exercise = []
    lines: list[tuple[str, str, str]] = []
    style = pick(rng, ("absolute", "absolute", "relative"))
    actions = ["forward", "stop", *[f"turn {to}" for to in directions(style)]]
    for index in range(int(rng.integers(1, 5))):
        if index:
            place, heading = town.stand(rng)
        here, seen = here_words(place, heading), _sights(place, heading)
        told = "Right." if index else ""
        if not lines:
            lines = _short_lines(rng, seen, style)
            told = "Instructions:\n" + "\n".join(
                f"{number}. {''.join(line)}" for number, line in enumerate(lines, 1)
            )
        image = None
        if visual:
            image = grid.join(town.look(place, heading, STREET_SIZES[0] // 2), VIEW_SIDES)
        else:
            told += f"{' ' if index else chr(10)}{here}"
        answer = f"{int(rng.integers(len(lines))) + 1}: {pick(rng, actions)}"
        waiting = [number for number, line in enumerate(lines) if line[1]]
        if rng.random() < 0.75:
            said = [here]
            if waiting and rng.random() < 0.8:
                number = pick(rng, waiting)
                said.append(
                    f"{number + 1} until {lines[number][1]}: {_reached(lines[number][1], seen)}."
                )
            answer = f"{' '.join(said)}\n{answer}"
        turns.append(Turn(told, image, answer))
    return turns


def _sights(place: Place, heading: float) -> list[str]:
    """What a line may wait for, in the words in which it is seen."""
    seen = [sighting_words(sighting, heading, brief=True) for sighting in place.sightings]
    return ["intersection", *seen] if place.at_intersection else seen


def _short_lines(rng: Rng, seen: list[str], style: Style) -> list[tuple[str, str, str]]:
    """Instructions as (before, what is waited for, after), some of which wait for what is seen."""
    lines = []
    for _ in range(int(rng.integers(1, 6))):
        if rng.random() < 0.4:
            turn = pick(rng, directions("relative"))
            to = f" to face {pick(rng, directions(style))}" if style == "absolute" else ""
            lines.append((f"Turn {turn}{to}", "", "."))
            continue
        where = pick(rng, ("the intersection", "the next intersection", "your destination"))
        if "intersection" not in seen and rng.random() < 0.6:
            where = "your destination"
        names = [word for word in seen if word != "intersection"]
        mark = pick(rng, load_city("gridtown").landmarks)
        landmark = f"{mark.name} {pick(rng, tuple(BRIEF_SIDES.values()))}"
        if names and rng.random() < 0.8:
            name, _, side = pick(rng, names).rpartition(" ")
            side = side if rng.random() < 0.8 else pick(rng, tuple(BRIEF_SIDES.values()))
            landmark = f"{name} {side}"
        what = where if rng.random() < 0.15 else f"{where}, {landmark}"
        lines.append(("Forward until ", what, "."))
    return [*lines, ("Stop", "", ".")]


def _reached(awaited: str, seen: list[str]) -> str:
    where, _, landmark = awaited.partition(", ")
    there = not landmark or landmark in seen
    if "intersection" in where:
        there = there and "intersection" in seen
    elif not landmark:
        there = False
    return "reached" if there else "not reached"


def math_form(rng: Rng) -> Exercise:
    r"""Math: an answer in its box, of any small number, or after a chain or a derivation that begins and
    ends anywhere."""
    env = _world(
        "amft/Math-v0",
        source="chain_sum",
        split="train",
        prompts=pick(rng, ("fixed", "fixed", "varied")),
    )

    def answer(facts: dict[str, Any]) -> str:
        said = [str(new) for new in chain(rng, int(rng.integers(1, 4)))]
        value = said[-1].split()[-1] if said else int(rng.integers(-20, 31))
        return "\n".join([*said, rf"The answer is \boxed{{{value}}}."])

    if rng.random() < 0.5:
        return _played(env, rng, answer, most=1)
    numbers = [int(rng.integers(1, 13)) for _ in range(pick(rng, (3, 4, 4)))]
    made = derivation(rng, numbers)
    target = int(rng.integers(10, 101))
    told = (
        f"Make {target} from {', '.join(map(str, numbers))}. Use each number once, with + - * / and "
        "parentheses.\nEnd with \\boxed{answer}."
    )
    end = f"The answer is \\boxed{{{made.formula()}}}."
    return [Turn(told, None, "\n".join([*made.statements(), end]))]


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
