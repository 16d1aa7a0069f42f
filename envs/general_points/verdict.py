"""How an answer to General Points is judged: one row of the table per attempt.

The checks are made in this order, and the first that fails decides:

    illegal_formula  -3    there is no formula, or it does not follow the grammar
    misread_cards    -1.5  pictures only: `cards` is given and is not what lies on the table
    wrong_numbers    -2    the formula, or `number` if given, does not use each number once
    wrong_value      -1    the formula does not make the target, or what it claims after "="
    correct          +5
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from envs.answers import read_answer
from envs.general_points.cards import read_rank
from envs.general_points.formula import Formula, FormulaError, Number, last_formula, read_formula

KEYS = ("cards", "number", "formula", "thought")
_MOST_ITEMS = 20


class GeneralPointsVerdict(StrEnum):
    CORRECT = "correct"
    WRONG_VALUE = "wrong_value"
    WRONG_NUMBERS = "wrong_numbers"
    ILLEGAL_FORMULA = "illegal_formula"
    MISREAD_CARDS = "misread_cards"


REWARDS = {
    GeneralPointsVerdict.CORRECT: 5.0,
    GeneralPointsVerdict.WRONG_VALUE: -1.0,
    GeneralPointsVerdict.MISREAD_CARDS: -1.5,
    GeneralPointsVerdict.WRONG_NUMBERS: -2.0,
    GeneralPointsVerdict.ILLEGAL_FORMULA: -3.0,
}


@dataclass(frozen=True)
class Judgement:
    """A verdict, and what to tell the agent so that it can do better."""

    verdict: GeneralPointsVerdict
    feedback: str


def judge(
    text: str, *, ranks: Sequence[int], numbers: Sequence[int], target: int, cards_count: bool
) -> Judgement:
    """Judges whatever a model wrote. `cards_count` says whether reading the cards is a task."""
    fields = read_answer(text, KEYS)
    said = last_formula(text) if fields is None else _as_text(fields.get("formula"))
    fields = fields or {}
    if said is None:
        return _illegal("no formula was found")
    try:
        formula = read_formula(said)
    except FormulaError as error:
        return _illegal(str(error))
    if cards_count and _items(fields.get("cards")) is not None and not _same_cards(fields, ranks):
        return Judgement(
            GeneralPointsVerdict.MISREAD_CARDS, "The cards are not read right: look again."
        )
    for name, used in (("The formula", formula.numbers), ("The field number", _numbers(fields))):
        if used is not None and (wrong := _difference(used, numbers)):
            # Which are missing is what the picture is to be read for.
            which = "" if cards_count else f": {wrong}"
            verdict = GeneralPointsVerdict.WRONG_NUMBERS
            return Judgement(verdict, f"{name} must use the number of each card once{which}.")
    return _judge_value(formula, target)


def _judge_value(formula: Formula, target: int) -> Judgement:
    verdict = GeneralPointsVerdict.WRONG_VALUE
    if formula.value is None:
        return Judgement(verdict, "The formula divides by zero.")
    made = _short(formula.value)
    if formula.value != target:
        return Judgement(verdict, f"The formula makes {made}, not {target}.")
    if formula.claimed is not None and formula.claimed != formula.value:
        claimed = _short(formula.claimed)
        return Judgement(verdict, f"The formula makes {made}, but it says it makes {claimed}.")
    return Judgement(GeneralPointsVerdict.CORRECT, "Correct.")


def _illegal(why: str) -> Judgement:
    return Judgement(GeneralPointsVerdict.ILLEGAL_FORMULA, f"Not a legal formula: {why}.")


def _as_text(value: Any) -> str | None:
    """A formula field as text; numbers count as text, anything else is no formula."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value).strip() or None


def _items(value: Any) -> list[Any] | None:
    """A list field: a list, a text with commas, a single value; None if not given."""
    if value is None or isinstance(value, bool | dict):
        return None
    if isinstance(value, str):
        value = [item.strip() for item in re.split(r"[,;]", value.strip(" []"))]
    return value[:_MOST_ITEMS] if isinstance(value, list) else [value]


def _same_cards(fields: dict[str, Any], ranks: Sequence[int]) -> bool:
    said = [read_rank(item) for item in _items(fields.get("cards")) or []]
    return Counter(said) == Counter(ranks)


def _numbers(fields: dict[str, Any]) -> tuple[Any, ...] | None:
    """The field `number` as numbers, where it was given; what is none stays as it is."""
    items = _items(fields.get("number"))
    if items is None:
        return None
    return tuple(
        int(item) if isinstance(item, str) and re.fullmatch(r"[0-9]{1,6}", item) else item
        for item in items
        if isinstance(item, str | int | float)
    )


def _difference(used: Iterable[Any], numbers: Sequence[int]) -> str:
    """Which numbers are missing and which are too many, in words; empty if none."""
    wanted, given = Counter(numbers), Counter(used)
    if wanted == given:
        return ""
    missing, extra = wanted - given, given - wanted
    parts = []
    for counter, words in ((missing, "missing"), (extra, "too many")):
        if counter:
            listed = ", ".join(str(item)[:20] for item in list(counter.elements())[:6])
            parts.append(f"{words}: {''.join(c if c.isprintable() else ' ' for c in listed)}")
    return "; ".join(parts)


def _short(value: Number) -> str:
    text = str(value)
    return text if len(text) <= 20 else f"about {float(value):.4g}"
