"""Searches leave nothing out, say what is true and what is left, and end at the target; judged by an
evaluator of its own."""

import itertools
import re
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from envs.derivation import derive
from envs.general_points.formula import read_formula
from envs.searches import TRIES, concluded, searched, tried
from tests.envs.test_derivation import followed


def in_whole_numbers(numbers, target, largest=10**6):
    simplest = derive(numbers, target)
    return simplest and all(
        step.value.denominator == 1 and step.value <= largest for step in simplest.made()
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 13), min_size=2, max_size=3), st.integers(1, 100))
def test_a_search_leaves_out_nothing_that_comes_to_the_target(numbers, target):
    if not in_whole_numbers(numbers, target):
        assert searched(numbers, target) is None
        return
    lines, found = searched(numbers, target)
    assert lines[-2:] == [found.statements()[-1], f"{target} - {target} = 0"]
    assert followed(found.statements(), numbers) == read_formula(found.formula()).value == target
    for line in lines:
        left, sign, right, _, made = line.split(" and ")[0].split(" ")
        assert read_formula(f"{left}{sign}{right}").value == int(made)


def test_a_search_multiplies_what_is_too_small_and_takes_from_what_is_too_large():
    lines, _ = searched((11, 7, 3), 12)
    assert "; ".join(lines) == (
        "11 + 7 = 18 and 3; 18 + 3 = 21; 21 - 12 = 9; 18 - 3 = 15; 15 - 12 = 3; 18 / 3 = 6; 12 - 6 = 6; "
        "11 - 7 = 4 and 3; 4 + 3 = 7; 12 - 7 = 5; 4 * 3 = 12; 12 - 12 = 0"
    )


def test_what_begins_with_a_fraction_is_not_searched():
    """Defect: all ways of three numbers of which one was 26/5."""
    assert searched((1, 5, 5, 5), 24) is None


STATEMENT = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)((?: and \d+)*)")


def gone_on(line, there):
    """What is left after a statement that takes two numbers that are there."""
    left, sign, right, made, rest = STATEMENT.fullmatch(line).groups()
    assert read_formula(left + sign + right).value == int(made), f"{line} is not true"
    remaining = Counter(there) - Counter([int(left), int(right)])
    assert remaining.total() == len(there) - 2, f"{line} takes what is not there: {there}"
    if rest:
        assert Counter(map(int, re.findall(r"\d+", rest))) == remaining
    return [int(made), *remaining.elements()]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(1, 13), min_size=2, max_size=4), st.integers(0, TRIES))
def test_a_first_statement_is_followed_to_the_end_before_another_is_made(numbers, tries):
    gone = tried(numbers, 24, tries)
    if gone is None:
        assert not in_whole_numbers(numbers, 24, largest=48)
        return
    lines, found = gone
    assert followed(found.statements(), numbers) == read_formula(found.formula()).value == 24
    states = {len(numbers): list(numbers)}  # by how many numbers are left
    begun = []
    for line in lines:
        size = line.count(" and ") + 1
        states[size] = gone_on(line, states[size + 1])
        if size == 3:
            begun.append(states[3])
        if size == 1:
            assert (states[1] == [24]) == (line is lines[-1])
            assert abs(states[1][0] - 24) <= 3
    assert states[1] == [24]
    if len(numbers) == 4:
        assert 1 <= len(begun) <= tries + 1
        assert len({tuple(sorted(three)) for three in begun}) == len(begun)
        for three in begun[:-1]:
            assert not in_whole_numbers(three, 24, largest=96)


def test_what_a_try_writes():
    lines, _ = tried((7, 5, 10, 10), 24, tries=0)
    assert "; ".join(lines) == (
        "10 / 5 = 2 and 7 and 10; 7 + 2 = 9 and 10; 7 - 2 = 5 and 10; 7 * 2 = 14 and 10; 14 + 10 = 24"
    )


def test_of_five_cards_one_statement_is_known():
    lines, found = tried((7, 5, 10, 10, 1), 24)
    assert lines[0].count(" and ") == 3
    assert followed(found.statements(), (7, 5, 10, 10, 1)) == 24


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 13), min_size=4, max_size=4))
def test_first_statements_come_from_small_results_to_large_ones_and_those_of_0_and_1_last(numbers):
    """In a random order none says which is next, and a small model writes one that it wrote before."""
    if (gone := tried(numbers, 24, tries=100)) is None:
        return
    firsts = [line for line in gone[0] if line.count(" and ") == 2]
    results = [int(re.search(r"= (\d+)", line)[1]) for line in firsts]
    assert results == sorted(results, key=place)
    before = {three for three in threes(numbers) if place(three[0]) < place(results[-1])}
    assert {tuple(sorted(three)) for three in before} <= {
        tuple(sorted(gone_on(line, numbers))) for line in firsts
    }


def place(result):
    return result < 2, result


def threes(numbers):
    """Each result that two of four numbers come to, no larger than 50, and the other two."""
    for i, j in itertools.combinations(range(4), 2):
        low, high = sorted((numbers[i], numbers[j]))
        results = {high + low, high - low, high * low}
        if high % low == 0 and low > 1:
            results.add(high // low)
        rest = [numbers[k] for k in range(4) if k not in (i, j)]
        yield from ((result, *rest) for result in results if result <= 50)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 13), min_size=2, max_size=5))
def test_what_a_search_found_is_said_again_in_its_order(numbers):
    """Beside the formula, as a derivation: each statement once, after those that it goes on from."""
    if (gone := tried(numbers, 24)) is None:
        return
    lines, found = gone
    search, again = concluded(lines).split(". So ")
    assert re.split("[.;,] ", search) == lines
    for mark, line in zip(re.findall("[.;,] ", search), lines[1:], strict=True):
        assert mark == {0: ", ", 1: "; "}.get(line.count(" and "), ". ")
    steps = re.split("[.;,] ", again)
    assert Counter(steps) == Counter(found.statements())
    assert followed(steps, numbers) == 24
    assert steps[-1] == lines[-1]
