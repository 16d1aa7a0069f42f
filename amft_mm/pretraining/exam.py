"""What a tiny model can do, asked as it will be used: by writing answers, greedily, word for word.

`examine(policy, count)` gives shares from 0 to 1: perception (cards, red suits, another deck, streets
of the training city and of an unseen one), small skills in the middle of longer answers, how often it
solves the worlds' tasks, which it was not taught, and whether few demonstrations give it their form.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from agents.conversation import Conversation, Limits
from agents.engines.base import GREEDY, Request, Sampling, written
from agents.engines.hf import HFEngine
from agents.experts import demonstrate
from agents.policy import Policy
from agents.rollout import Plan, play
from agents.worlds import World, Worlds
from amft_mm.learning.batching import by_length
from amft_mm.learning.optimization import set_lr, slope
from amft_mm.pretraining import cards, going_through, texts
from envs.general_points.cards import RANKS, Card
from envs.general_points.decks import find_deck, table_picture
from envs.general_points.formula import FormulaError, read_formula
from envs.guard import GuardedEnv
from envs.virl import grid
from envs.virl.answer import read_short
from envs.virl.city_files import load_city
from envs.virl.geo import VIEW_SIDES, as_xy
from envs.virl.language import observation_words, sighting_words
from envs.virl.street_map import StreetMap
from envs.virl.streetview import StreetViews

CARDS_SIZE, STREET_SIZE = 112, 168
SEED = 2**31 + 1
"""Apart from every seed that pretraining draws by."""
MOST_EPISODES = 100


class Question(NamedTuple):
    """`right` says whether an answer is right, or the rest of an answer that has `begun`."""

    text: str
    image: Any
    right: Callable[[str], bool]
    begun: str = ""


def examine(policy: Policy, count: int = 200) -> dict[str, float]:
    """`count` questions of each kind, and as many episodes of each world, `MOST_EPISODES` at most."""
    found = small_skills(policy, count)
    for name, world in TASKS.items():
        found |= episodes(policy, name, world, min(count, MOST_EPISODES))
    return found


def small_skills(policy: Policy, count: int) -> dict[str, float]:
    """`count` questions of each kind."""
    found = {}
    for name, make in QUESTIONS.items():
        rng = np.random.default_rng([SEED, *name.encode()])
        found[name] = float(np.mean(answered(policy, [make(rng) for _ in range(count)])))
    rng = np.random.default_rng([SEED, 3])
    chains = [_three_links(rng) for _ in range(count)]
    links = answered(policy, [link for chain in chains for link in chain])
    found["chains of three, in an answer"] = float(np.mean(np.reshape(links, (count, 3)).all(1)))
    return found


def answered(policy: Policy, questions: list[Question]) -> list[bool]:
    """Which of the questions are answered rightly."""
    pairs = zip(questions, ask(policy, questions), strict=True)
    return [question.right(answer) for question, answer in pairs]


def ask(policy: Policy, questions: list[Question], most_tokens: int = 60) -> list[str]:
    engine, answers = HFEngine(policy), []
    for question in questions:
        conversation = Conversation(policy, Limits(max_new_tokens=most_tokens))
        if not conversation.observe(question.text, question.image):
            raise ValueError(f"a question does not fit: {question.text[:80]!r}")
        if question.begun:
            conversation.begin(policy.chat_format.answer(question.begun)[:-1])
        answers.append(conversation)
    samples = [
        sample
        for start in range(0, len(answers), 64)
        for sample in written(
            engine, [Request(c, 0, GREEDY, most_tokens) for c in answers[start : start + 64]]
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
    return Question("Which card is this?", picture, exactly(name))


def _table_question(suits: str, deck: str, rng: np.random.Generator) -> Question:
    pack = [Card(rank, suit) for rank in range(1, 14) for suit in suits]
    cards = [pack[i] for i in rng.permutation(len(pack))[:4]]
    picture = table_picture(find_deck(deck), cards, (CARDS_SIZE, CARDS_SIZE))
    return Question(
        "Which cards are these?",
        picture,
        exactly(json.dumps([RANKS[c.rank - 1] for c in cards])),
    )


# Streets: the cities as they are. Pretraining draws the training city as well, with answers of the
# worlds' form (`forms.street_form`), and never the others.


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
            return Question(
                "What do you observe?", picture, exactly(observation_words(place, heading))
            )
        nearest = sighting_words(place.sightings[0], heading)
        return Question("What do you observe?", picture, lambda answer: nearest in answer)


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
    return Question(turn.text, None, exactly(turn.answer))


def _sum_question(rng: np.random.Generator) -> Question:
    left, value = _reckoned(rng, "+-*"[int(rng.integers(3))])
    return Question(f"{left} = ?", None, exactly(str(value)))


def _said_question(sign: str) -> Callable[[np.random.Generator], Question]:
    """Said in the middle of an answer, after other text of several forms."""

    def question(rng: np.random.Generator) -> Question:
        left, value = _reckoned(rng, sign)
        before = [
            "{} = {}".format(*_reckoned(rng, "+-*/"[int(rng.integers(4))]))
            for _ in range(int(rng.integers(4)))
        ]
        listed = ", ".join(str(number) for number in rng.integers(1, 14, 4))
        begun = (
            "".join(f"{said}\n" for said in before),
            f'{{"number": [{listed}], "thought": "' + "".join(f"{said}; " for said in before),
            f"I have {listed}. " + "".join(f"{said}. " for said in before),
        )[int(rng.integers(3))]
        return Question(f"Numbers: {listed}.", None, _begins_with(value), f"{begun}{left} =")

    return question


def _three_links(rng: np.random.Generator) -> list[Question]:
    """A chain in which each statement goes on with what the one before came to."""
    value, begun, links = int(rng.integers(1, 51)), "", []
    for _ in range(3):
        minus, other = bool(rng.integers(2)), int(rng.integers(1, 51))
        left, value = (
            f"{value} {'-' if minus else '+'} {other}",
            (value - other if minus else value + other),
        )
        links.append(Question("Reckon on.", None, _begins_with(value), f"{begun}{left} ="))
        begun += f"{left} = {value}\n"
    return links


def _next_way(rng: np.random.Generator) -> Question:
    """What is gone through next, in the middle of all ways: nothing missed, nothing that is not there. Never
    the first three, nor where something is begun that nothing decides; and what follows an end is not asked,
    since the text may stop there."""
    [turn] = going_through.four_in_json(rng)
    before, so, _ = turn.answer.partition(". So")
    ways = re.split(r"(?=[.;,] \d+ [-+*/] )", before)
    decided = [at for at, way in enumerate(ways) if at > 2 and way.count(" and ") < 2]
    if not decided:
        return _next_way(rng)
    at = decided[int(rng.integers(len(decided)))]
    right = ways[at] if " and " not in ways[at] else ways[at] + [*ways, so][at + 1][0]
    return Question(turn.text, None, lambda said: said.startswith(right), "".join(ways[:at]))


def _made_formula(rng: np.random.Generator) -> Question:
    """The steps and the formula of the last of many statements, most of which have nothing to do with it."""
    [turn] = going_through.four_in_json(rng)
    begun, so, right = turn.answer.partition(". So")
    return Question(turn.text, None, lambda said: said.startswith(right[:-1]), begun + so)


def _reckoned(rng: np.random.Generator, sign: str) -> tuple[str, int]:
    """The left side of a statement in the range that the worlds use, and what it comes to."""
    small = int(rng.integers(1, 14))
    if sign == "*":
        other = int(rng.integers(1, 14 if rng.random() < 0.6 else 170 // small + 1))
        a, b = (small, other) if rng.random() < 0.5 else (other, small)
        return f"{a} * {b}", a * b
    if sign == "/":
        value = int(rng.integers(1, 14 if rng.random() < 0.6 else 170 // small + 1))
        return f"{value * small} / {small}", value
    a = int(rng.integers(1, 14) if rng.random() < 0.3 else rng.integers(-30, 131))
    b = small if rng.random() < 0.5 else int(rng.integers(1, 100))
    return f"{a} {sign} {b}", a + b if sign == "+" else a - b


def _begins_with(value: int) -> Callable[[str], bool]:
    def right(answer: str) -> bool:
        said = re.match(r" (-?\d+)", answer)
        return said is not None and said[1] == str(value)

    return right


def _copied_number(rng: np.random.Generator) -> Question:
    listed = ", ".join(str(number) for number in rng.integers(1, 101, 4))
    return Question(
        f"Numbers: {listed}.", None, lambda answer: answer.startswith(f" {listed}."), "I have"
    )


def _copied_words(sentence: bool) -> Callable[[np.random.Generator], Question]:
    def question(rng: np.random.Generator) -> Question:
        said = texts.sentence(rng) if sentence else texts.shop(rng)
        return Question(f"Say: {said}", None, exactly(said))

    return question


def _line_question(after: bool) -> Callable[[np.random.Generator], Question]:
    def question(rng: np.random.Generator) -> Question:
        said = [texts.sentence(rng) for _ in range(int(rng.integers(2, 8)))]
        at = int(rng.integers(len(said) - after))
        text = "\n".join(texts.numbered(said, line) for line in range(len(said)))
        asked = f"What comes after line {at + 1}?" if after else f"Recite line {at + 1}."
        return Question(f"{text}\n{asked}", None, exactly(texts.numbered(said, at + after)))

    return question


def _in_short(rng: np.random.Generator) -> Question:
    """Which line is free; what is said of it is not."""
    told, short = texts.lines_in_short(rng)
    return Question(
        f"{told}\n{texts.ANY_IN_SHORT}", None, lambda said: said.split("\n")[-1] in short
    )


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
    "sums, in an answer": _said_question("+"),
    "differences, in an answer": _said_question("-"),
    "products, in an answer": _said_question("*"),
    "exact quotients, in an answer": _said_question("/"),
    "the next of all ways": _next_way,
    "steps and formula of a statement": _made_formula,
    "numbers copied": _copied_number,
    "names copied": _copied_words(sentence=False),
    "sentences copied": _copied_words(sentence=True),
    "line k": _line_question(after=False),
    "the line after": _line_question(after=True),
    "any line, in short": _in_short,
}


# The worlds' own tasks, in the forms that the recipes train (configs/recipe).

TASKS = {
    "general_points": World(
        "amft/GeneralPoints-v0",
        {
            "modality": "visual",
            "size": (CARDS_SIZE, CARDS_SIZE),
            "split": "id",
            "thought": "search",
            "attempts": 1,
        },
    ),
    "virl": World(
        "amft/VIRL-v0",
        {
            "modality": "visual",
            "size": (STREET_SIZE, STREET_SIZE),
            "split": "id",
            "answer": "short",
            "thought": "steps",
            "instruction_as": "number",
        },
    ),
    "math": World("amft/Math-v0", {"split": "id", "source": "countdown", "thought": "search"}),
}
TOKENS = {"general_points": 1000, "virl": 110, "math": 730}
"""Of an answer, as recipes have it."""


SHOWN = 32
"""Demonstrations, after which the form of answers has to be there."""


def episodes(policy: Policy, name: str, world: World, count: int) -> dict[str, float]:
    """Success at the task and the share of answers in the right form, and the form again after
    a few demonstrations (no more than there are episodes); all by sampling."""
    found = played(policy, name, world, count)
    taught, shown = copy.deepcopy(policy), min(SHOWN, count)
    show(taught, world, shown)
    after = played(taught, name, world, count)[f"form of answers, {name}"]
    return {
        f"form of answers, {name}": found[f"form of answers, {name}"],
        f"form after {shown} demonstrations, {name}": after,
        f"success, {name}": found[f"success, {name}"],
    }


def played(policy: Policy, name: str, world: World, count: int) -> dict[str, float]:
    worlds = Worlds(world, slots=min(count, 64))
    plan = Plan(
        seed=SEED,
        tasks=count,
        sampling=Sampling(),
        limits=Limits(max_new_tokens=TOKENS[name], max_turns=20),
    )
    trajectories = play(worlds, policy, HFEngine(policy), plan)
    worlds.close()
    answers = [answer.text for t in trajectories for answer in t.conversation.answers]
    return {
        f"form of answers, {name}": float(np.mean([FORMS[name](answer) for answer in answers])),
        f"success, {name}": float(np.mean([t.success for t in trajectories])),
    }


def show(
    policy: Policy, world: World, shown: int = SHOWN, steps: int = 24, lr: float = 3e-4
) -> None:
    """Imitates that many demonstrations of the training split, for a moment."""
    world = World(world.id, {**world.options, "split": "train"})
    env = GuardedEnv(world.make, seconds=60.0)
    conversations = [demonstrate(env, world, seed).conversation(policy) for seed in range(shown)]
    env.close()
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=lr, betas=(0.9, 0.95))
    for step in range(1, steps + 1):
        set_lr(optimizer, lr * slope(step, steps, steps // 4, 0.1))
        rng = np.random.default_rng([SEED, step])
        batch = [conversations[i] for i in rng.permutation(shown)[: max(1, shown // 2)]]
        targets = sum(int(c.chosen().sum()) for c in batch)
        for part in by_length(batch, 1500):
            (-policy.score(part).log_probs.sum() / targets).backward()
        torch.nn.utils.clip_grad_norm_(policy.model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


def _card_form(answer: str) -> bool:
    try:
        said = json.loads(answer)
        read_formula(said["formula"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, FormulaError):
        return False  # as of a thousand brackets
    return set(said) == {"cards", "number", "thought", "formula"} and all(
        isinstance(said[key], list) for key in ("cards", "number")
    )


def _street_form(answer: str) -> bool:
    lines = answer.split("\n")
    two = len(lines) == 2 and lines[0].startswith("Here: ")
    return two and read_short(answer, "absolute").action is not None


def _countdown_form(answer: str) -> bool:
    boxed = re.search(r"\\boxed\{([^{}]*)\}", answer)
    try:
        read_formula(boxed[1] if boxed else "")
    except FormulaError:
        return False
    return True


FORMS: dict[str, Callable[[str], bool]] = {
    "general_points": _card_form,
    "virl": _street_form,
    "math": _countdown_form,
}
