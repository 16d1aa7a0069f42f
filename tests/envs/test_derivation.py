"""Derivations are true, use each number once and end where they say; judged by an evaluator of its own."""

import re
from collections import Counter
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.derivation import derive, stray
from envs.general_points.formula import read_formula
from envs.general_points.solver import solvable

NUMBERS = st.lists(st.integers(1, 13), min_size=3, max_size=4)


def number(text):
    """A whole number, or a fraction, in parentheses or not."""
    match = re.fullmatch(r"\(?(\d+)(?:/(\d+))?\)?", text)
    return Fraction(int(match[1]), int(match[2] or 1))


def followed(statements, numbers):
    """What is left when each statement takes two numbers that are there and leaves what it makes."""
    there = Counter(map(Fraction, numbers))
    for statement in statements:
        left, sign, right, equals, made = statement.split(" ")
        a, b = number(left), number(right)
        for taken in (a, b):
            assert there[taken] > 0, f"{taken} is not there in {statements}"
            there[taken] -= 1
        value = {"+": a + b, "-": a - b, "*": a * b, "/": b and a / b}[sign]
        assert (equals, number(made)) == ("=", value), f"{statement} is not true"
        assert sign == "/" or a >= b, f"{statement}: the larger one stands first"
        there[value] += 1
    [last] = there.elements()
    return last


def told_apart(formula):
    """The formula with all that is in parentheses said by itself, innermost and leftmost first."""
    said = []
    while match := re.search(r"\(([^()]*)\)", formula):
        said.append(match[1])
        formula = formula[: match.start()] + "#" + formula[match.end() :]
    return [*said, formula]


@settings(max_examples=150, deadline=None)
@given(NUMBERS, st.integers(1, 60))
def test_a_derivation_is_found_where_there_is_a_solution_and_it_is_true(numbers, target):
    found = derive(numbers, target)
    assert (found is not None) == solvable(numbers, target)
    if found is None:
        return
    statements, formula = found.statements(), read_formula(found.formula())
    assert len(statements) == len(numbers) - 1
    assert followed(statements, numbers) == formula.value == target
    assert Counter(formula.numbers) == Counter(numbers)
    assert derive(numbers[::-1], target) == found  # whichever way the cards lie


@settings(max_examples=100, deadline=None)
@given(NUMBERS, st.integers(1, 60))
def test_the_formula_has_every_statement_but_the_last_in_parentheses(numbers, target):
    if found := derive(numbers, target):
        parts = told_apart(found.formula())
        assert len(parts) == len(numbers) - 1
        assert all(re.fullmatch(r"(\d+|#)[-+*/](\d+|#)", part) for part in parts)
        assert [re.search(r"[-+*/]", part)[0] for part in parts] == [
            statement.split(" ")[1] for statement in found.statements()
        ]


@settings(max_examples=100, deadline=None)
@given(NUMBERS, st.integers(0, 2**31))
def test_what_strays_is_true_and_ends_elsewhere(numbers, seed):
    found = stray(numbers, 24, np.random.default_rng(seed))
    assert followed(found.statements(), numbers) == read_formula(found.formula()).value != 24
    assert found == stray(numbers, 24, np.random.default_rng(seed))


def test_fractions_come_only_where_whole_numbers_do_not_do():
    assert derive((3, 3, 8, 8), 24).statements() == (
        "8 / 3 = 8/3",
        "3 - (8/3) = 1/3",
        "8 / (1/3) = 24",
    )
    hands = [(1, 2, 3, 4), (10, 4, 7, 3), (7, 5, 10, 10), (2, 2, 6, 1)]
    for hand in hands:
        assert all("(" not in statement for statement in derive(hand, 24).statements())


def test_many_numbers_are_derived_too():
    for count in (5, 6):
        rng = np.random.default_rng(count)
        for _ in range(5):
            numbers = rng.integers(1, 14, count).tolist()
            if solvable(numbers, 24):
                assert followed(derive(numbers, 24).statements(), numbers) == 24
