"""Reads an arithmetic formula by a grammar and computes it exactly.

    formula := sum [ "=" number ]
    sum     := product (("+" | "-") product)*
    product := atom (("*" | "/") atom)*
    atom    := digits | "(" sum ")"

Spaces are free; x, ×, ·, ∗ stand for *, ÷ and : for /, and the unicode minus signs for -. There is no
sign before a number: the numbers are those on the cards. Nothing but `FormulaError` is raised.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

LONGEST = 200
DEEPEST = 20
MOST_DIGITS = 6

_SAME = str.maketrans(
    {"x": "*", "X": "*", "×": "*", "·": "*", "∗": "*", "⋅": "*", "✕": "*", "•": "*"}
    | {"÷": "/", "∕": "/", "⁄": "/", ":": "/", "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-"}
    | {"[": "(", "]": ")", "（": "(", "）": ")"}
)
_TOKEN = re.compile(r"[0-9]+|[-+*/()]")
_IN_TEXT = re.compile(r"[\d(][\d\s+\-*/()xX×·∗÷−–:]{2,200}(?:=\s*-?\d{1,12}(?:\.\d{1,6})?)?")
"""Digits, operators and parentheses."""
_OPERATOR = re.compile(r"\d\s*[)\s]*[+\-*/xX×·∗÷−–]")
_NUMBER = re.compile(r"\s*(-?\d{1,12}(?:\.\d{1,6})?)\s*", re.ASCII)


Number = int | Fraction
"""Whole numbers stay ints until something is divided: fractions cost ten times as much."""


class FormulaError(ValueError):
    """What was given is not a formula; the message says why, in words for the agent."""


@dataclass(frozen=True)
class Formula:
    """`value` is None where something is divided by zero; `claimed` is what stands after "="."""

    value: Number | None
    numbers: tuple[int, ...]
    claimed: Number | None


def last_formula(text: str) -> str | None:
    """The last thing in a text that looks like a formula with an operator."""
    found = None
    for match in _IN_TEXT.finditer(text[-2000:]):
        words = match[0].strip(" \n:")
        if len(words) <= LONGEST and _OPERATOR.search(words):
            found = " ".join(words.split())
    return found


def read_formula(text: str) -> Formula:
    """The formula that `text` is, as a whole."""
    if len(text) > LONGEST:
        raise FormulaError(f"the formula is longer than {LONGEST} characters")
    left, *right = text.translate(_SAME).split("=")
    if len(right) > 1:
        raise FormulaError("the formula has more than one =")
    claimed: Number | None = None
    if right:
        match = _NUMBER.fullmatch(right[0])
        if match is None:
            raise FormulaError("what follows = is not a number")
        claimed = Fraction(match[1]) if "." in match[1] else int(match[1])
    reader = _Reader(_tokens(left))
    value = reader.sum(DEEPEST)
    reader.expect_end()
    return Formula(value, tuple(reader.numbers), claimed)


def _tokens(text: str) -> list[str]:
    tokens = _TOKEN.findall(text)
    if sum(map(len, tokens)) != len("".join(text.split())):
        stray = _TOKEN.sub("", text).strip()
        raise FormulaError(f"{stray[:1]!r} is not part of a formula")
    if not tokens:
        raise FormulaError("the formula is empty")
    if max(map(len, tokens)) > MOST_DIGITS:
        raise FormulaError("a number is too long")
    return tokens


class _Reader:
    """Computes while it reads. A value is None once something was divided by zero."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = [*tokens, ""]
        self._at = 0
        self.numbers: list[int] = []

    def _next(self) -> str:
        return self._tokens[self._at]

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def expect_end(self) -> None:
        if self._next() != "":
            raise FormulaError(f"unexpected {self._next()!r}")

    def sum(self, depth: int) -> Number | None:
        if depth == 0:
            raise FormulaError("the parentheses are nested too deeply")
        value = self._product(depth)
        while self._next() in ("+", "-"):
            sign = 1 if self._take() == "+" else -1
            other = self._product(depth)
            value = None if value is None or other is None else value + sign * other
        return value

    def _product(self, depth: int) -> Number | None:
        value = self._atom(depth)
        while self._next() in ("*", "/"):
            divide = self._take() == "/"
            other = self._atom(depth)
            if value is None or other is None or (divide and other == 0):
                value = None
            else:
                value = Fraction(value) / other if divide else value * other
        return value

    def _atom(self, depth: int) -> Number | None:
        token = self._take()
        if token.isdigit():
            self.numbers.append(int(token))
            return int(token)
        if token == "(":
            value = self.sum(depth - 1)
            if self._take() != ")":
                raise FormulaError("a parenthesis is not closed")
            return value
        raise FormulaError(f"unexpected {token!r}" if token else "the formula ends too early")
