"""What General Points tells the agent: the task in one fixed wording, or in varied ones.

Every wording says the same: the rule of the face cards, the aim, the operations, and the form of the
answer by an example that is valid JSON and right for its own cards.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from envs.derivation import Derived, derive
from envs.general_points.cards import Faces
from envs.general_points.solver import any_solution, solutions
from envs.searches import TRIES, concluded, tried

LISTED_UP_TO = 4
"""Up to so many numbers, the best of all solutions is written; beyond, any."""
THOUGHTS = ("none", "steps", "search")
"""What an expert writes before the formula: nothing, how it is derived, or how that is searched for."""

TASKS = (
    "Use the number of each card exactly once with + - * / and parentheses to make {target}.",
    "Combine the numbers of all cards, each once, by + - * / and parentheses so that the result "
    "is {target}.",
    "Find a formula that equals {target}. It takes every card's number one time; + - * / and "
    "parentheses are allowed.",
)
ALL_FACES = ("A counts as 1; J, Q and K count as {0}.", "An ace is 1, and every J, Q or K is {0}.")
EACH_FACE = (
    "A counts as 1, J as {0}, Q as {1} and K as {2}.",
    "An ace is 1; J, Q and K are {0}, {1} and {2}.",
)
SHOWN = {
    True: ("The picture shows {count} cards.", "You see {count} playing cards."),
    False: ("Cards: {cards}.", "These are your cards: {cards}."),
}
FORMS = (
    "Answer in JSON like this example for the cards {example_cards}: {example}",
    "Reply with a JSON object. For the cards {example_cards} it would be: {example}",
)
EXAMPLES = (("2", "3", "4", "A"), ("6", "2", "2", "A"), ("8", "3", "A", "5"), ("4", "4", "3", "2"))


@dataclass(frozen=True)
class Task:
    """The facts that a prompt states."""

    target: int
    faces: Faces
    """As the prompt says that they count."""
    visual: bool
    cards: Sequence[str]
    numbers: Sequence[int]
    thought: str


def prompt(task: Task, rng: np.random.Generator | None) -> str:
    """The first wording of everything, or, with `rng`, a choice and order of its own."""

    def pick(wordings: Sequence[str]) -> str:
        return wordings[0 if rng is None else int(rng.integers(len(wordings)))]

    # Never the hand itself; the first wording takes the first example that is another hand.
    examples = [e for e in EXAMPLES if sorted(values(e)) != sorted(task.numbers)]
    example_cards = examples[0 if rng is None else int(rng.integers(len(examples)))]
    parts = [
        pick(SHOWN[task.visual]).format(count=len(task.cards), cards=", ".join(task.cards)),
        pick(TASKS).format(target=task.target),
        pick(faces_words(task.faces)),
    ]
    if rng is not None:
        parts = [parts[i] for i in rng.permutation(len(parts))]
    form = pick(FORMS).format(
        example_cards=", ".join(example_cards), example=example(example_cards, task)
    )
    return " ".join([*parts, form])


def faces_words(faces: Faces) -> tuple[str, ...]:
    """The wordings of what J, Q and K count."""
    wordings = ALL_FACES if len(set(faces)) == 1 else EACH_FACE
    return tuple(wording.format(*faces) for wording in wordings)


def example(cards: Sequence[str], task: Task) -> str:
    """An answer that is right for its own cards; if they cannot make the target, for their sum."""
    numbers = values(cards)
    target = task.target if derive(numbers, task.target) else sum(numbers)
    # One that is right at once, so that a prompt is short.
    return right_answer(cards, numbers, target, task.thought, tries=0)


def values(cards: Sequence[str]) -> list[int]:
    """Of an example's cards, which have no faces but aces."""
    return [1 if card == "A" else int(card) for card in cards]


def right_answer(
    cards: Sequence[str], numbers: Sequence[int], target: int, thought: str, tries: int = TRIES
) -> str:
    """What an expert writes; where it searches, up to so many `tries` lead nowhere."""
    if thought == "none":
        formula = best_solution(numbers, target)
        if formula is None:
            raise ValueError(_hopeless(numbers, target))
        return answer(cards, numbers, f"{formula}={target}")
    if thought == "search" and (gone := tried(numbers, target, tries)):
        lines, found = gone
        return derived_answer(cards, numbers, found, concluded(lines))
    simplest = derive(numbers, target)
    if simplest is None:
        raise ValueError(_hopeless(numbers, target))
    return derived_answer(cards, numbers, simplest, "; ".join(simplest.statements()))


def derived_answer(
    cards: Sequence[str], numbers: Sequence[int], derived: Derived, thought: str
) -> str:
    """An answer whose formula is derived in `thought`."""
    return answer(cards, numbers, f"{derived.formula()}={derived.value}", thought)


def answer(cards: Sequence[str], numbers: Sequence[int], formula: str, thought: str = "") -> str:
    """The JSON of an answer. What is thought stands after what it is about and before what follows."""
    fields: dict[str, object] = {"cards": list(cards), "number": list(numbers)}
    if thought:
        fields["thought"] = thought
    return json.dumps(fields | {"formula": formula})


def best_solution(numbers: Sequence[int], target: int) -> str | None:
    """The formula of an expert that does not derive it: few divisions, short; None if there is none."""
    if len(numbers) > LISTED_UP_TO:
        return any_solution(numbers, target)
    found = solutions(numbers, target)
    return min(found, key=lambda text: (text.count("/"), len(text), text), default=None)


def _hopeless(numbers: Sequence[int], target: int) -> str:
    return f"no formula over {tuple(numbers)} makes {target}: no expert can"
