"""The solver against known counts and against brute force."""

from collections import Counter
from fractions import Fraction
from itertools import combinations_with_replacement, permutations
from math import factorial

import numpy as np
import pytest

from envs.general_points.formula import read_formula
from envs.general_points.solver import solutions, solvable


def orders(hand):
    count = factorial(len(hand))
    for repeats in Counter(hand).values():
        count //= factorial(repeats)
    return count


@pytest.mark.parametrize(
    ("top", "hands", "multisets", "draws"), [(13, 1820, 1362, 22_615), (10, 715, 566, 8_558)]
)
def test_as_many_hands_can_be_solved_as_is_known(top, hands, multisets, draws):
    every = list(combinations_with_replacement(range(1, top + 1), 4))
    good = [hand for hand in every if solvable(hand, 24)]
    assert (len(every), len(good), sum(map(orders, good))) == (hands, multisets, draws)


def test_three_three_eight_eight_can_be_won():
    """Published defect 3: with floating point, 8/(3-8/3) was not 24."""
    assert solutions((3, 3, 8, 8), 24) == ("8/(3-8/3)",)


def brute_force_values(numbers):
    """Every value by reducing any two numbers at a time: another algorithm than the solver's."""
    if len(numbers) == 1:
        return {numbers[0]}
    values = set()
    for a, b, *rest in permutations(numbers):
        for made in [a + b, a - b, a * b] + ([a / b] if b else []):
            values |= brute_force_values((made, *rest))
    return values


@pytest.mark.parametrize("seed", range(12))
def test_solvable_agrees_with_brute_force(seed):
    rng = np.random.default_rng(seed)
    hand = tuple(rng.integers(1, 14, 4).tolist())
    values = brute_force_values(tuple(map(Fraction, hand)))
    for target in (*range(40), 100):
        assert solvable(hand, target) == (target in values), (hand, target)
        assert bool(solutions(hand, target)) == (target in values), (hand, target)


@pytest.mark.parametrize("count", [3, 4, 5, 6])
def test_solutions_are_right_distinct_and_use_every_number(count):
    rng = np.random.default_rng(count)
    for _ in range(4):
        hand = sorted(rng.integers(1, 14, count).tolist())
        found = solutions(hand, 24)
        assert len(set(found)) == len(found)
        assert bool(found) == solvable(hand, 24)
        for text in found:
            formula = read_formula(text)
            assert formula.value == 24
            assert sorted(formula.numbers) == hand


def all_formulas(numbers):
    """Every formula with every order and grouping: what the distinct solutions stand for."""
    if len(numbers) == 1:
        yield str(numbers[0])
        return
    for cut in range(1, len(numbers)):
        for left in all_formulas(numbers[:cut]):
            for right in all_formulas(numbers[cut:]):
                for sign in "+-*/":
                    yield f"({left}{sign}{right})"


@pytest.mark.parametrize("hand", [(1, 2, 3, 4), (2, 2, 6, 6), (1, 5, 5, 5), (3, 3, 3, 8)])
def test_every_right_formula_is_one_of_the_solutions(hand):
    """Adds up the values of atoms that stand for the numbers: order and grouping vanish, so that
    each right formula has the same fingerprint as exactly one listed solution."""
    weights = [
        Fraction(7919, 31),
        Fraction(104729, 97),
        Fraction(1299709, 211),
        Fraction(15485863, 409),
    ]

    def fingerprint(text):
        # Numbers that are equal are interchangeable, so they share a weight.
        shift = {number: weights[i] for i, number in enumerate(sorted(set(hand)))}
        return _evaluate(text, shift)

    listed = {fingerprint(text) for text in solutions(hand, 24)}
    found = set()
    for order in set(permutations(hand)):
        for text in all_formulas(order):
            if len(text) <= 200 and read_formula(text).value == 24:
                found.add(fingerprint(text))
    assert found == listed


def _evaluate(text, shift):
    """The formula's value with each number replaced by its weight."""
    import ast

    def value(node):
        if isinstance(node, ast.Constant):
            return shift[node.value]
        left, right = value(node.left), value(node.right)
        return {
            ast.Add: lambda: left + right,
            ast.Sub: lambda: left - right,
            ast.Mult: lambda: left * right,
            ast.Div: lambda: left / right,
        }[type(node.op)]()

    return value(ast.parse(text, mode="eval").body)
