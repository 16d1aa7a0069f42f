"""Questions without end, made by generators: countdown's own (countdown.py) and reasoning-gym's.

`procedural_source(name, split)` gives `chain_sum`, `countdown` and `gsm_symbolic` in this project's
short wording and with solutions written step by step, and most other generators as they are, with
the bare answer as solution. `ood_hard` has longer sums, larger targets, more steps; for the other
generators it is the curriculum's third level where training is the first.

Each split draws from its own range of the generator and keeps only the questions whose words fall
into its own zone, so that no question is in two splits.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np

from envs.contract import did_you_mean, one_of
from envs.math_tasks.countdown import CountdownItems, read_countdown
from envs.math_tasks.grading import can_be_told
from envs.math_tasks.problems import SPLITS, Problem, solved

ZONES = {"train": (0.0, 0.5), "id": (0.5, 0.75), "ood_hard": (0.75, 1.0)}
"""Which part of all questions, by `zone_of`, each split may show."""
ITEMS = 100_000
"""Items of each generator that a split looks at; about a half or a quarter of them are its own."""
MANY_STEPS = 5
"""From how many lines of solution on a GSM question is hard."""
_MOST_DRAWS = 10_000

OF_NO_SEED = frozenset(["isomorphic_strings", "polynomial_multiplication", "ransom_note"])
"""Generators that go through sets: a question hangs on PYTHONHASHSEED too, so that two processes show two."""

MANY_ANSWERS = frozenset(
    [
        "boxnet",
        "codeio",
        "composite",
        "cryptarithm",
        "graph_color",
        "group_anagrams",
        "intermediate_integration",
        "jugs",
        "kakurasu",
        "knight_swap",
        "knights_knaves",
        "n_queens",
        "palindrome_generation",
        "palindrome_partitioning",
        "polynomial_equations",
        "prime_factorization",
        "propositional_logic",
        "puzzle24",
        "quantum_lock",
        "rubiks_cube",
        "rush_hour",
        "shortest_path",
        "simple_integration",
        "sokoban",
        "survo",
        "tower_of_hanoi",
        "tsumego",
        "word_ladder",
    ]
)
"""Generators whose questions have several right answers, or one in any order, which only their own scorers
can judge. Some of those evaluate what the model wrote, and codeio runs what its data file holds, so none of
them is offered."""


@dataclass(frozen=True)
class Recipe:
    """How a generator is used: settings, how an item becomes a problem, and which items fit."""

    easy: dict[str, int]
    hard: dict[str, int]
    read: Callable[[dict[str, Any]], Problem | None]
    fits: Callable[[dict[str, Any], bool], bool]
    deal: Callable[..., Any] | None = None
    """Makes the items of settings, where reasoning-gym does not."""


def _read_chain_sum(item: dict[str, Any]) -> Problem:
    expression, answer = item["metadata"]["expression"], item["answer"]
    first, *rest = expression.split()
    lines, total = [], int(first)
    for sign, term in zip(rest[::2], rest[1::2], strict=True):
        sum_ = total + int(term) if sign == "+" else total - int(term)
        lines.append(f"{total} {sign} {term} = {sum_}")
        total = sum_
    assert str(total) == answer, f"{expression} is {answer}, not {total}"
    return Problem(f"{expression} = ?", answer, solved(lines, answer), exact=True)


def _read_gsm(item: dict[str, Any]) -> Problem:
    steps = item["metadata"]["answer_cot"].split("####")[0].strip().splitlines()
    return Problem(item["question"], item["answer"], solved(steps, item["answer"]), exact=True)


def _read_plain(item: dict[str, Any]) -> Problem:
    answer = item["answer"].strip()
    return Problem(item["question"].strip(), answer, solved([], answer), exact=True)


def _any_item(item: dict[str, Any], hard: bool) -> bool:
    return True


def _gsm_fits(item: dict[str, Any], hard: bool) -> bool:
    lines = [line for line in item["metadata"]["answer_cot"].splitlines() if line.strip()]
    return (len(lines) - 1 >= MANY_STEPS) == hard  # the last line is the answer


RECIPES = {
    "chain_sum": Recipe(
        {"min_terms": 2, "max_terms": 3, "min_digits": 1, "max_digits": 2},
        {"min_terms": 4, "max_terms": 5, "min_digits": 1, "max_digits": 2},
        _read_chain_sum,
        _any_item,
    ),
    "countdown": Recipe(
        {"min_numbers": 3, "max_numbers": 3, "max_value": 12, "min_target": 10, "max_target": 50},
        {"min_numbers": 3, "max_numbers": 3, "max_value": 12, "min_target": 51, "max_target": 100},
        read_countdown,
        _any_item,
        CountdownItems,
    ),
    "gsm_symbolic": Recipe({}, {}, _read_gsm, _gsm_fits),
}


class ProceduralSource:
    """One generator's questions of one split. See `Source` for the contract."""

    def __init__(self, name: str, split: str) -> None:
        recipe = RECIPES.get(name)
        hard = split == "ood_hard"
        self._read = recipe.read if recipe else _read_plain
        self._fits = recipe.fits if recipe else _any_item
        self._name, self._split = name, split
        self._hard, self._zone = hard, ZONES[split]
        self._problem = lru_cache(maxsize=20_000)(self._make)
        settings = {"seed": SPLITS.index(split) * 10 * ITEMS, "size": ITEMS}
        if recipe:
            settings |= recipe.hard if hard else recipe.easy
            deal = recipe.deal or partial(_reasoning_gym().create_dataset, name)
            self._items = deal(**settings)
        else:
            self._items = _from_curriculum(name, level=2 if hard else 0, settings=settings)
        self.draw(np.random.default_rng(0))  # a generator that does not fit is found now

    def __reduce__(self) -> tuple[Any, ...]:
        return _source, (self._name, self._split)  # a copy is made anew, with its own memory

    def __len__(self) -> int:
        return ITEMS

    def draw(self, rng: np.random.Generator) -> int:
        for _ in range(_MOST_DRAWS):
            index = int(rng.integers(ITEMS))
            if self._problem(index) is not None:
                return index
        raise ValueError(
            f"source={self._name!r} has too few different questions for this split: "
            f"none in {_MOST_DRAWS} draws. Use another source or split."
        )

    def problem(self, index: int) -> Problem:
        problem = self._problem(index)
        if problem is None:
            raise ValueError(
                f"index={index} of source={self._name!r} is not in this split: take one that a "
                f"reset has dealt."
            )
        return problem

    def _make(self, index: int) -> Problem | None:
        """None where the item is of another difficulty, its words are of another split, or nobody could write
        its answer."""
        item = self._items[index]
        if not isinstance(item["question"], str) or not isinstance(item["answer"], str):
            raise ValueError(f"source={self._name!r} has questions without one answer in words.")
        problem = self._read(item) if self._fits(item, self._hard) else None
        if problem is not None and problem.countdown is None and not can_be_told(problem.answer):
            return None
        low, high = self._zone
        return problem if problem is not None and low <= problem.zone < high else None


def procedural_source(name: str, split: str) -> ProceduralSource:
    """The questions of a generator of reasoning-gym, by its name."""
    one_of("split", split, SPLITS)
    if name not in RECIPES:
        check_name(name)
    return _source(name, split)


@cache
def _source(name: str, split: str) -> ProceduralSource:
    return ProceduralSource(name, split)


def check_name(name: str) -> None:
    """Raises where `name` is no generator that can be used."""
    if name in MANY_ANSWERS:
        raise ValueError(
            f"source={name!r} has questions with several right answers, which cannot be graded "
            f"here. Use one with a single right answer, such as {', '.join(RECIPES)}."
        )
    if name in OF_NO_SEED:
        raise ValueError(
            f"source={name!r} asks another question in each process for the same seed. Use one that its seed "
            f"decides, such as {', '.join(RECIPES)}."
        )
    known = set(_reasoning_gym().factory.DATASETS) - MANY_ANSWERS - OF_NO_SEED
    if name not in known:
        raise ValueError(
            f"source={name!r} is neither a file or folder that exists, nor 'hf:owner/name', nor a "
            f"generator of reasoning-gym (such as {', '.join(RECIPES)}).{did_you_mean(name, known)}"
        )


def _from_curriculum(name: str, *, level: int, settings: dict[str, int]) -> Any:
    factory = _reasoning_gym().factory
    if not factory.has_curriculum(name):
        if level:
            raise ValueError(f"source={name!r} has no harder questions: use split='train' or 'id'.")
        return factory.create_dataset(name, **settings)
    curriculum = factory.create_curriculum(name)
    curriculum.set_global_level(level)
    try:
        return factory.DATASETS[name][0](curriculum.generate_configuration(settings))
    except (AssertionError, ValueError) as error:  # its own curriculum leads beyond its own bounds
        raise ValueError(
            f"source={name!r} has no questions of this split ({error}): use another split or source."
        ) from None


@cache
def _reasoning_gym() -> Any:
    # It takes seconds to import, so only those who use it wait for it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import reasoning_gym
        import reasoning_gym.factory
    return reasoning_gym
