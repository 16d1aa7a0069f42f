"""What a tiny model can do, asked as it will be used: by writing answers, greedily, word for word.

`examine(policy, count)` gives shares from 0 to 1: perception (cards, red suits, another deck, streets
of the training city and of an unseen one), small skills, the form of answers in the worlds, and how
often it solves the worlds' tasks, which it was not taught.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from agents.conversation import Conversation, Limits
from agents.engines.base import GREEDY, Request, Sampling
from agents.engines.hf import HFEngine
from agents.policy import Policy
from agents.rollout import Plan, play
from agents.worlds import World, Worlds
from amft_mm.pretraining import cards, texts
from envs.general_points.cards import RANKS, Card
from envs.general_points.decks import find_deck, table_picture
from envs.general_points.formula import FormulaError, read_formula
from envs.math_tasks.grading import final_answer
from envs.virl import grid
from envs.virl.answer import read
from envs.virl.city_files import load_city
from envs.virl.geo import VIEW_SIDES, as_xy
from envs.virl.language import observation_words, sighting_words
from envs.virl.street_map import StreetMap
from envs.virl.streetview import StreetViews

CARDS_SIZE, STREET_SIZE = 112, 168
SEED = 2**31 + 1
"""Apart from every seed that pretraining draws by."""

Question = tuple[str, Any, Callable[[str], bool]]
"""Text, picture, and whether an answer is right."""


def examine(policy: Policy, count: int = 200) -> dict[str, float]:
    """`count` questions of each kind, `count` episodes of each world."""
    found = {}
    for name, make in QUESTIONS.items():
        rng = np.random.default_rng([SEED, *name.encode()])
        questions = [make(rng) for _ in range(count)]
        answers = ask(policy, [(text, image) for text, image, _ in questions])
        right = [is_right(a) for (_, _, is_right), a in zip(questions, answers, strict=True)]
        found[name] = float(np.mean(right))
    for name, world in TASKS.items():
        found |= episodes(policy, name, world, count)
    return found


def ask(policy: Policy, asked: list[tuple[str, Any]], most_tokens: int = 60) -> list[str]:
    engine, answers = HFEngine(policy), []
    for text, image in asked:
        conversation = Conversation(policy, Limits(max_new_tokens=most_tokens))
        if not conversation.observe(text, image):
            raise ValueError(f"a question does not fit: {text[:80]!r}")
        answers.append(conversation)
    samples = [
        sample
        for start in range(0, len(answers), 64)
        for sample in engine.generate(
            [Request(c, 0) for c in answers[start : start + 64]], GREEDY, most_tokens
        )
    ]
    return [policy.chat_format.text(sample.ids) for sample in samples]


def exactly(right: str) -> Callable[[str], bool]:
    return lambda answer: answer == right


# Cards.


def _card_question(suits: str, deck: str, rng: np.random.Generator) -> Question:
    card = Card(int(rng.integers(1, 14)), suits[int(rng.integers(len(suits)))])
    picture = table_picture(find_deck(deck), [card], (56, 56))
    name = f"{RANKS[card.rank - 1]} of {cards.SUIT_NAMES[card.suit]}"
    return "Which card is this?", picture, exactly(name)


def _table_question(suits: str, deck: str, rng: np.random.Generator) -> Question:
    pack = [Card(rank, suit) for rank in range(1, 14) for suit in suits]
    cards = [pack[i] for i in rng.permutation(len(pack))[:4]]
    picture = table_picture(find_deck(deck), cards, (CARDS_SIZE, CARDS_SIZE))
    return (
        "Which cards are these?",
        picture,
        exactly(json.dumps([RANKS[c.rank - 1] for c in cards])),
    )


# Streets: the cities as they are, which pretraining never draws.


class _City:
    """Corners of a city with a landmark in sight."""

    def __init__(self, name: str) -> None:
        city = load_city(name)
        self._city, self._map, self._views = city, StreetMap(city), StreetViews(city, 0)
        self._points = [p for p in range(len(self._map.points)) if self._map.place(p).sightings]

    def question(self, *, whole: bool, rng: np.random.Generator) -> Question:
        point = self._points[int(rng.integers(len(self._points)))]
        place = self._map.place(point)
        links = self._map.neighbours(point)
        heading = links[int(rng.integers(len(links)))][1]
        half = STREET_SIZE // 2
        xy = as_xy(self._city.projection.to_xy(place.position))
        picture = grid.join(self._views.views(xy, heading, half, half), VIEW_SIDES)
        if whole:
            return "What do you observe?", picture, exactly(observation_words(place, heading))
        nearest = sighting_words(place.sightings[0], heading)
        return "What do you observe?", picture, lambda answer: nearest in answer


def _street_questions(city: str, whole: bool) -> Callable[[np.random.Generator], Question]:
    opened: list[_City] = []

    def question(rng: np.random.Generator) -> Question:
        if not opened:
            opened.append(_City(city))
        return opened[0].question(whole=whole, rng=rng)

    return question


# Text.


def _rule_question(rng: np.random.Generator) -> Question:
    [turn] = cards.cards_by_a_rule(rng)
    return turn.text, None, exactly(turn.answer)


def _sum_question(rng: np.random.Generator) -> Question:
    text, image, answer = texts.sum_of_two(rng)
    return text, image, exactly(answer)


QUESTIONS: dict[str, Callable[[np.random.Generator], Question]] = {
    "one card": lambda rng: _card_question("SC", "classic", rng),
    "four cards": lambda rng: _table_question("SC", "classic", rng),
    "four cards, red suits": lambda rng: _table_question("HD", "classic", rng),
    "four cards, second deck": lambda rng: _table_question("SC", "flat", rng),
    "nearest landmark and its side, training city": _street_questions("gridtown", False),
    "nearest landmark and its side, unseen combinations": _street_questions("newyork", False),
    "whole observation, training city": _street_questions("gridtown", True),
    "numbers of cards by the rule that is told": _rule_question,
    "sums and products of two numbers": _sum_question,
}


# The worlds' own tasks.

TASKS = {
    "general_points": World(
        "amft/GeneralPoints-v0",
        {"modality": "visual", "size": (CARDS_SIZE, CARDS_SIZE), "split": "id"},
    ),
    "virl": World(
        "amft/VIRL-v0",
        {"modality": "visual", "size": (STREET_SIZE, STREET_SIZE), "split": "id"},
    ),
    "math": World("amft/Math-v0", {"split": "id"}),
}


def episodes(policy: Policy, name: str, world: World, count: int) -> dict[str, float]:
    """Success at the task, and the share of answers in the right form, both by sampling."""
    worlds = Worlds(world, slots=min(count, 64))
    plan = Plan(
        seed=SEED, tasks=count, sampling=Sampling(), limits=Limits(max_new_tokens=100, max_turns=20)
    )
    trajectories = play(worlds, policy, HFEngine(policy), plan)
    worlds.close()
    answers = [answer.text for t in trajectories for answer in t.conversation.answers]
    return {
        f"form of answers, {name}": float(np.mean([FORMS[name](answer) for answer in answers])),
        f"success, {name}": float(np.mean([t.success for t in trajectories])),
    }


def _card_form(answer: str) -> bool:
    try:
        said = json.loads(answer)
        read_formula(said["formula"])
    except (ValueError, TypeError, KeyError, AttributeError, FormulaError):
        return False
    return list(said) == ["cards", "number", "formula"] and all(
        isinstance(said[key], list) for key in ("cards", "number")
    )


def _street_form(answer: str) -> bool:
    try:
        said = json.loads(answer)
    except ValueError:
        return False
    keys = ["current observation", "current instruction", "action"]
    return (
        isinstance(said, dict)
        and list(said) == keys
        and read(answer, "absolute").action is not None
    )


FORMS: dict[str, Callable[[str], bool]] = {
    "general_points": _card_form,
    "virl": _street_form,
    "math": lambda answer: final_answer(answer) is not None,
}
