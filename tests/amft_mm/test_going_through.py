"""Exercises in going through leave nothing out, add nothing, and look for nothing.

A way that is missing would be learnt as one that there is not; and a text that ends where a task's would end
more often than elsewhere would teach the search itself, which is the policy of cards and of countdown.
"""

import json
import re
from collections import Counter
from fractions import Fraction
from itertools import combinations

import numpy as np

from amft_mm.pretraining import going_through as taught

SAID = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)((?: and \d+)*)")
MADE = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": Fraction}


def drawn(make, count):
    rng = np.random.default_rng(5)
    return [turn for _ in range(count) for turn in make(rng)]


def said(answer):
    """Each statement that is gone through, with what is left beside it."""
    text, _, _ = answer.partition(". So ")
    text, _, _ = text.partition('", "formula')
    text = re.sub(r"\n(The answer|\S+=\d+$).*", "", text)
    return [
        (int(a), sign, int(b), int(value), tuple(map(int, re.findall(r"\d+", left))))
        for a, sign, b, value, left in SAID.findall(text)
    ]


def numbers(text):
    return list(map(int, re.findall(r"\d+", text)))


def comes_to(one, other):
    """In whole numbers, the larger before the smaller; nothing is divided by 1."""
    a, b = max(one, other), min(one, other)
    ways = {(a, "+", b, a + b), (a, "-", b, a - b), (a, "*", b, a * b)}
    return ways | ({(a, "/", b, a // b)} if b > 1 and a % b == 0 else set())


def test_what_two_numbers_come_to_is_all_there():
    for turn in drawn(taught.two, 100):
        assert {each[:4] for each in said(turn.answer)} == comes_to(*numbers(turn.text))


def test_of_three_numbers_every_way_is_gone_and_no_other():
    """As a search written for this test finds them; those that end early are a beginning."""
    whole = 0
    for turn in drawn(taught.three, 150):
        (*given,) = numbers(turn.text.split(".")[0])
        low, high = numbers(turn.text.split("Ends")[1])
        wanted = Counter()
        seen = set()
        for i, j in combinations(range(3), 2):
            pair = tuple(sorted((given[i], given[j])))
            if pair in seen:
                continue
            seen.add(pair)
            (left,) = (given[k] for k in range(3) if k not in (i, j))
            for way in comes_to(given[i], given[j]):
                if 0 < way[3] <= taught.LARGEST:
                    wanted[(*way, (left,))] += 1
                    wanted.update(
                        (*last, ()) for last in comes_to(way[3], left) if low <= last[3] <= high
                    )
        written = Counter(said(turn.answer))
        assert written <= wanted, turn
        if "formula" not in turn.text:
            whole += 1
            assert written == wanted, turn
    assert whole > 50


def formula_of(answer):
    """(formula, the number that it is said to make, or None)"""
    if answer.startswith("{"):
        formula, made = json.loads(answer)["formula"].split("=")
        return formula, int(made)
    last = answer.split("\n")[-1]
    if "boxed" in last:
        return last[last.index("{") + 1 : last.rindex("}")], None
    formula, made = last.split("=")
    return formula, int(made)


def statements_of(formula):
    """What a formula says, inside before outside; every statement but the last is in parentheses."""
    made = []
    while inner := re.search(r"\((\d+)([-+*/])(\d+)\)", formula):
        a, sign, b = int(inner[1]), inner[2], int(inner[3])
        made.append((a, sign, b, int(MADE[sign](a, b))))
        formula = formula[: inner.start()] + str(made[-1][3]) + formula[inner.end() :]
    a, sign, b = re.fullmatch(r"(\d+)([-+*/])(\d+)", formula).groups()
    return [*made, (int(a), sign, int(b), int(MADE[sign](int(a), int(b))))]


def test_a_formula_is_of_the_last_statement_and_of_all_numbers():
    for make in (taught.three, taught.four, taught.four_in_json, taught.scattered):
        found = 0
        for turn in drawn(make, 130):
            told = turn.text
            if make is taught.three and "formula" not in told:
                continue
            found += 1
            formula, made = formula_of(turn.answer)
            lines = said(turn.answer)
            steps = statements_of(formula)
            assert steps[-1] == [each[:4] for each in lines if not each[4]][-1], turn
            assert set(steps) <= {each[:4] for each in lines}, turn
            if so := re.search(r"\. So ([^\n\"]*)", turn.answer):
                assert Counter(each[:4] for each in said(so[1])) == Counter(steps), turn
            assert made in (None, steps[-1][3])
            given = (
                json.loads(turn.answer)["number"]
                if turn.answer.startswith("{")
                else numbers(told.split(".")[0])
            )
            assert sorted(numbers(formula)) == sorted(given), turn
        assert found > 60


def test_what_is_left_is_what_no_statement_has_used():
    """Four numbers, then three, then two: a statement takes two that were there."""
    for turn in (*drawn(taught.four_in_json, 100), *drawn(taught.scattered, 100)):
        inside = turn.answer.startswith("{")
        there = {4: json.loads(turn.answer)["number"] if inside else numbers(turn.text)}
        for a, _, b, value, left in said(turn.answer):
            assert Counter((a, b)) + Counter(left) == Counter(there[len(left) + 2]), turn
            there[len(left) + 1] = [value, *left]


def test_no_end_is_looked_for():
    """A text ends at 24 no more often than at the numbers beside it, and goes on after one as often."""
    ends, stops = Counter(), Counter()
    for turn in (*drawn(taught.four, 3000), *drawn(taught.scattered, 1000)):
        values = [each[3] for each in said(turn.answer) if not each[4]]
        ends.update(values[:-1])
        stops[values[-1]] += 1
    share = {value: stops[value] / (stops[value] + ends[value]) for value in (22, 23, 24, 25, 26)}
    beside = (share[22] + share[23] + share[25] + share[26]) / 4
    assert stops[24] > 30
    assert abs(share[24] - beside) < 0.05
