"""Exercises in reckoning: true statements about random numbers, in running text of many forms.

A skill that is only ever asked for in one place is not found again in another. So sums, products and
exact quotients are said as answers, in lists, in chains, in derivations and formulas, alone and inside
longer answers. Numbers and signs are drawn at random: no derivation is chosen for what it comes to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from amft_mm.pretraining.cards import RULES
from amft_mm.pretraining.exercise import Exercise, Rng, Turn, pick
from envs.derivation import Derived, Number
from envs.general_points.cards import FACE_RULES, RANKS, Card
from envs.general_points.prompts import faces_words

SIGNS: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a // b,
}
LARGEST = 400
"""No statement comes to more, or to less than its negative."""
MOST_DERIVED, MOST_DENOMINATOR, MOST_DRAWS = 200, 12, 200


@dataclass(frozen=True)
class Statement:
    """`a sign b = value`, which is true."""

    a: int
    sign: str
    b: int

    @property
    def value(self) -> int:
        return SIGNS[self.sign](self.a, self.b)

    @property
    def left(self) -> str:
        return f"{self.a} {self.sign} {self.b}"

    def __str__(self) -> str:
        return f"{self.left} = {self.value}"


# What is said.


def statement(rng: Rng, wide: bool = True) -> Statement:
    """Any; hard ones (products, quotients, what goes below 0) more often than they come. `wide` goes
    beyond the numbers that are met in the worlds."""
    sign = pick(rng, "+++---**/" if rng.random() < 0.7 else "*/")
    if sign == "*":
        a, b = _small(rng), _small(rng)
        if rng.random() < (0.3 if wide else 0.2):
            a = int(rng.integers(-12 if wide else 0, 170 // b + 1))
        return Statement(a, sign, b) if rng.random() < 0.5 or a < 0 else Statement(b, sign, a)
    if sign == "/":
        b = _small(rng)
        of = 170 // b if rng.random() < (0.4 if wide else 0.25) else 13
        return Statement(b * int(rng.integers(0 if of > 13 else 1, of + 1)), sign, b)
    a = _number(rng, wide)
    return Statement(-a if rng.random() < 0.15 else a, sign, _number(rng, wide))


def _small(rng: Rng) -> int:
    return int(rng.integers(1, 14))


def _number(rng: Rng, wide: bool) -> int:
    kind = rng.random()
    return (
        _small(rng) if kind < 0.4 else int(rng.integers(0, 100 if kind < 0.85 or not wide else 171))
    )


def chain(rng: Rng, steps: int, wide: bool = True) -> list[Statement]:
    """Each begins with what the one before came to."""
    said: list[Statement] = []
    value = _number(rng, wide)
    while len(said) < steps:
        new = Statement(value, pick(rng, "+-" if rng.random() < 0.7 else "*/"), _number(rng, wide))
        if _fits(new):
            said.append(new)
            value = new.value
    return said


def derivation(rng: Rng, numbers: Sequence[int], fractions: bool = False) -> Derived:
    """Any two of the numbers become one by any sign, until one is left. The larger stands first,
    but now and then in the last, which may come to less than 0."""
    pool = [Derived(number) for number in numbers]
    for _ in range(MOST_DRAWS):
        if len(pool) == 1:
            return pool[0]
        i, j = sorted((int(k) for k in rng.permutation(len(pool))[:2]), reverse=True)
        one, other = pool[j], pool[i]
        turned = rng.random() < (0.2 if fractions or len(pool) == 2 else 0.0)
        if (one.value < other.value) != turned:
            one, other = other, one
        sign = pick(rng, "+-*/" if rng.random() < 0.6 else "+-")
        value = _value(one.value, sign, other.value)
        if value is None or not -MOST_DERIVED <= value <= MOST_DERIVED:
            continue
        if value < 0 and len(pool) > 2:
            continue
        if value.denominator > (MOST_DENOMINATOR if fractions else 1):
            continue
        del pool[i], pool[j]
        pool.append(Derived(value, sign, one, other))
    return derivation(rng, numbers)  # among fractions one may come to where nothing fits


def _value(a: Number, sign: str, b: Number) -> Number | None:
    if sign == "/":
        return Fraction(a) / b if b else None
    return a + b if sign == "+" else a - b if sign == "-" else a * b


def _fits(new: Statement) -> bool:
    if new.sign == "/" and (new.b == 0 or new.a % new.b):
        return False
    return abs(new.value) <= LARGEST


# How it is said.


def sums(rng: Rng, wide: bool = True) -> Exercise:
    """Questions of one statement each."""
    said = [statement(rng, wide) for _ in range(6)]
    return [Turn(f"{new.left} = ?", None, str(new.value)) for new in said]


def missing(rng: Rng, wide: bool = True) -> Exercise:
    """What two numbers have to do to come to a third: a fact, read from its end."""
    told, said = [], []
    for _ in range(int(rng.integers(3, 8))):
        new = statement(rng, wide)
        pair = (new.a, new.b) if rng.random() < 0.5 else (new.b, new.a)
        form = pick(rng, ("{0} ? {1} = {2}", "{0} and {1} to {2}", "Goal {2}: {0}, {1}"))
        told.append(form.format(*((new.a, new.b) if "?" in form else pair), new.value))
        said.append(str(new))
    if rng.random() < 0.5:
        return [Turn(f"{one}.", None, other) for one, other in zip(told, said, strict=True)]
    return [Turn(f"{'; '.join(told)}.", None, _joined(rng, said))]


def statements(rng: Rng, wide: bool = True) -> Exercise:
    """Many that have nothing to do with each other."""
    said = [statement(rng, wide) for _ in range(int(rng.integers(4, 13)))]
    return [Turn("Say sums.", None, _in_a_form(rng, said))]


def asides(rng: Rng, wide: bool = True) -> Exercise:
    """The same after numbers that were told and have nothing to do with them, in the forms of answers:
    what a statement comes to depends on what it says, not on where it stands."""
    turns = []
    for _ in range(int(rng.integers(1, 4))):
        listed = ", ".join(str(_small(rng)) for _ in range(pick(rng, (3, 4, 4))))
        said = [str(statement(rng, wide)) for _ in range(int(rng.integers(2, 7)))]
        form = int(rng.integers(4))
        if form == 0:
            answer = f'{{"number": [{listed}], "thought": "{"; ".join(said)}"}}'
        elif form == 1:
            answer = f"I have {listed}. {'. '.join(said)}."
        else:
            answer = "\n".join(said)
        turns.append(Turn(f"Numbers: {listed}.", None, answer))
    return turns


def chains(rng: Rng, wide: bool = True) -> Exercise:
    """One to three chains, with what they come to."""
    parts = []
    for _ in range(int(rng.integers(1, 4))):
        said = chain(rng, int(rng.integers(2, 5)), wide)
        parts.append(_in_a_form(rng, said) + pick(rng, ("", "\n", " ")) + _end(rng, said[-1].value))
    return [Turn("Reckon on.", None, "\n".join(parts))]


def derivations(rng: Rng) -> Exercise:
    """From numbers that are told to whatever comes out."""
    turns = []
    for _ in range(int(rng.integers(2, 5))):
        numbers = _hand(rng)
        listed = ", ".join(map(str, numbers))
        made = derivation(rng, numbers, fractions=rng.random() < 0.05)
        formula, value = made.formula(), made.value
        ends = (
            f"\n{formula}={value}",
            f"\nThe answer is \\boxed{{{formula}}}.",
            f"\nThe answer is \\boxed{{{formula}}}.",
            f"\nThe answer is \\boxed{{{value}}}.",
            "",
        )
        begin = pick(rng, ("", "", "", f"I have {listed}. ", f"{listed}\n"))
        text = "\n".join(made.statements()) if rng.random() < 0.6 else _derived(rng, numbers, made)
        told = pick(rng, ("Numbers: {}.", "Use {}.", "Reckon with {}.")).format(listed)
        turns.append(Turn(told, None, f"{begin}{text}{pick(rng, ends)}"))
    return turns


def derivations_in_json(rng: Rng) -> Exercise:
    """The same in the middle of a longer answer, with cards by a rule."""
    turns = []
    faces = FACE_RULES[pick(rng, RULES)]
    for index in range(int(rng.integers(1, 4))):
        cards = [Card(int(rng.integers(1, 14)), "S") for _ in range(pick(rng, (3, 4, 4, 4)))]
        numbers, ranks = [card.number(faces) for card in cards], [RANKS[c.rank - 1] for c in cards]
        told = f"Cards: {', '.join(ranks)}."
        if index == 0:
            told += f" {pick(rng, faces_words(faces))} Reckon."
        turns.append(Turn(told, None, reckoned(rng, ranks, numbers)))
    return turns


def reckoned(rng: Rng, ranks: Sequence[str], numbers: Sequence[int]) -> str:
    """What cards count, what can be reckoned from that, and its formula, as JSON."""
    made = derivation(rng, numbers, fractions=rng.random() < 0.05)
    fields: dict[str, object] = {"cards": list(ranks), "number": list(numbers)}
    if rng.random() < 0.85:
        tries = [derivation(rng, numbers) for _ in range(pick(rng, (0, 0, 0, 1, 2)))]
        fields["thought"] = ". No. ".join("; ".join(each.statements()) for each in (*tries, made))
        if rng.random() < 0.15:
            fields["thought"] = _derived(rng, numbers, made)
    return json.dumps(fields | {"formula": f"{made.formula()}={made.value}"})


def formulas(rng: Rng) -> Exercise:
    """What formulas come to, without steps."""
    said = []
    for _ in range(int(rng.integers(3, 9))):
        made = derivation(rng, [_small(rng) for _ in range(int(rng.integers(2, 4)))])
        said.append(f"{made.formula()}={made.value}")
    return [Turn("Say formulas.", None, pick(rng, ("\n", ", ", "; ")).join(said))]


def _hand(rng: Rng) -> list[int]:
    count = pick(rng, (3, 4, 4, 4, 5))
    if rng.random() < 0.7:
        return [_small(rng) for _ in range(count)]
    return [int(rng.integers(1, 51)) for _ in range(count)]


def _in_a_form(rng: Rng, said: list[Statement]) -> str:
    return _joined(rng, [str(new) for new in said])


def _joined(rng: Rng, words: list[str]) -> str:
    form = int(rng.integers(8))
    if form == 0:
        return ", ".join(words)
    if form == 1:
        return "; ".join(words)
    if form == 2:
        return json.dumps({"steps": words})
    if form == 3:
        return "\n".join(word.replace(" ", "") for word in words)
    if form == 4:
        return ". ".join(words) + "."
    return "\n".join(words)


def _derived(rng: Rng, numbers: Sequence[int], made: Derived) -> str:
    """The statements, at times each with the numbers that are left after it."""
    words = list(made.statements())
    if rng.random() < 0.5:
        beside = rng.random() < 0.5  # the newest stands in the statement
        left = [str(number) for number in numbers]
        for index, word in enumerate(words):
            one, _, other, _, value = word.split()
            left.remove(one.strip("()"))
            left.remove(other.strip("()"))
            left.append(value)
            words[index] = (
                " and ".join([word, *left[:-1]]) if beside else f"{word} (left: {', '.join(left)})"
            )
    return _joined(rng, words)


def _end(rng: Rng, value: int) -> str:
    return pick(
        rng, (rf"The answer is \boxed{{{value}}}.", rf"\boxed{{{value}}}", f"It makes {value}.")
    )
