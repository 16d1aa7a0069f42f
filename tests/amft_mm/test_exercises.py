"""What the tiny VLM is taught is true, and no solved task is among it: 10,000 exercises are looked through.

A false sum in a thousand would be learnt as a fact; and what a task's policy is has to be found by training,
so what exercises choose may agree with what is right no more often than chance does.
"""

import json
import re
from collections import Counter
from fractions import Fraction
from math import sqrt

import numpy as np
import pytest

from amft_mm.pretraining import exercises as taught
from amft_mm.pretraining.exam import TASKS
from amft_mm.pretraining.forms import any_formula, cards_form
from amft_mm.pretraining.reckoning import derivation
from envs.virl.actions import directions

IN_WORDS = {
    **taught.ECHOES,
    **taught.RECKONING,
    **taught.NEAR_RECKONING,
    **taught.COPYING_TEXT,
    **taught.SHORT_TEXT,
    **taught.IN_SHORT,
    **taught.TEXT_FORMS,
}
WITH_PICTURES = {
    name: kind for name, kind in {**taught.SIGHT, **taught.FORMS}.items() if name not in IN_WORDS
}
COUNT = {  # more of those that come near to a task
    "math_form": 2000,
    "derivations_in_json": 1500,
    "cards_form_in_words": 1500,
    "short_street_form_in_words": 1000,
    "short_street_form": 60,
    "street_form": 60,
}


def drawn(kinds, count):
    """By name; `count` of each unless COUNT says otherwise."""
    rng = np.random.default_rng(11)
    return {
        name: [make(rng) for _ in range(COUNT.get(name, count))]
        for name, (make, _) in kinds.items()
    }


@pytest.fixture(scope="module")
def exercises():
    found = drawn(IN_WORDS, 250)
    assert sum(map(len, found.values())) >= 10_000
    return found


def turns(exercises, *names):
    return [turn for name in names or exercises for each in exercises[name] for turn in each]


def value(text):
    """What a formula comes to; written for this test, so that no mistake is made twice."""
    tokens = re.findall(r"\d+|\S", text)

    def atom():
        token = tokens.pop(0)
        if token == "-":
            return -atom()
        if token != "(":
            return Fraction(token)
        inner = level(0)
        assert tokens.pop(0) == ")"
        return inner

    def level(number):
        if number == 2:
            return atom()
        left = level(number + 1)
        while tokens and tokens[0] in ("+-", "*/")[number]:
            sign, right = tokens.pop(0), level(number + 1)
            left = {
                "+": left + right,
                "-": left - right,
                "*": left * right,
                "/": right and left / right,
            }[sign]
        return left

    found = level(0)
    assert not tokens, text
    return found


def test_the_evaluator_of_this_test_knows_precedence():
    assert value("2 + 3 * 4") == 14
    assert value("(2+3)*4 - 10/4") == Fraction(35, 2)
    assert value("-3 - (1/2) - 1") == Fraction(-9, 2)


STATED = re.compile(r"(-?[\d(][\d()+*/ -]*?) ?= ?(\(?-?\d+(?:/\d+)?\)?)")


def all_is_true(turn):
    """Every statement is right, and none is written so that it is not seen; how many there are."""
    told = turn.answer
    if turn.text.endswith("= ?") and re.fullmatch(r"-?\d+", told):
        told = turn.text[:-1] + told
    found = STATED.findall(told)
    assert len(found) == told.count("="), told
    for left, right in found:
        assert value(left) == value(right), f"{left} = {right}"
    return len(found)


@pytest.mark.parametrize("name", IN_WORDS)
def test_what_is_stated_is_true(exercises, name):
    count = sum(all_is_true(turn) for turn in turns(exercises, name))
    assert count > 50 or name not in {**taught.RECKONING, **taught.NEAR_RECKONING, "math_form": 0}


def at_chance(happened, chance, what):
    """Two counts, or a count and what is expected of it, that differ by no more than luck."""
    assert abs(happened - chance) < 4 * sqrt(happened + chance + 4), (
        f"{what}: {happened}, by chance {chance}"
    )


def test_no_formula_is_chosen_for_what_it_makes(exercises):
    """24 is made as often as by a derivation, or a formula, that is drawn anew from the same numbers."""
    rng = np.random.default_rng(12)
    for name in ("derivations_in_json", "cards_form_in_words"):
        made = anew = 0
        for turn in turns(exercises, name):
            said = json.loads(turn.answer)
            made += value(said["formula"].split("=")[0]) == 24
            if "thought" in said:
                anew += derivation(rng, said["number"]).value == 24
            else:
                anew += value(any_formula(rng, said["number"])) == 24
        assert made > 20
        at_chance(made, anew, name)


def test_derivations_themselves_aim_at_nothing():
    """10,000 of them come to 24 no more often than to the numbers beside it."""
    rng = np.random.default_rng(0)
    hands = (rng.integers(1, 14, 4).tolist() for _ in range(10_000))
    made = Counter(derivation(rng, hand).value for hand in hands)
    assert made[24] < 1.5 * max(made[22], made[23], made[25], made[26])
    assert made[24] < 300


def test_what_is_dropped_is_no_worse_than_what_is_kept(exercises):
    """Else trying until it fits would be taught, which is the policy of the cards."""
    kept, dropped, tries = 0, 0, 0
    for turn in turns(exercises, "derivations_in_json", "cards_form_in_words"):
        thoughts = json.loads(turn.answer).get("thought", "").split(". No. ")
        makes = [thought.endswith("= 24") for thought in thoughts]
        if len(makes) > 1:
            kept, dropped, tries = (
                kept + makes[-1],
                dropped + sum(makes[:-1]) / len(makes[:-1]),
                tries + 1,
            )
    assert tries > 500
    at_chance(kept, dropped, "24 at the end")


def test_questions_of_math_are_answered_rightly_by_chance(exercises):
    """As often as the answer to another question would be right."""
    countdown, sums = [], []
    for turn in turns(exercises, "math_form"):
        boxed = turn.answer[turn.answer.index(r"\boxed{") + 7 : turn.answer.rindex("}")]
        if target := re.match(r"Make (\d+) from", turn.text):
            countdown.append((int(target[1]), value(boxed)))
        else:
            asked = next(line for line in turn.text.split("\n") if line.endswith(" = ?"))
            sums.append((value(asked.removesuffix(" = ?")), value(boxed)))
    for asked in (countdown, sums):
        assert len(asked) > 500
        right = sum(wanted == said for wanted, said in asked)
        others = [said for _, said in (*asked[1:], asked[0])]
        at_chance(
            right, sum(w == said for (w, _), said in zip(asked, others, strict=True)), "right"
        )


def the_streets_choices_are_right_by_chance(exercises):
    """No action is right more often than the one that is drawn most, which is one of four; and no line is
    named more often than the others: at the first turn the first is the right one."""
    told = [turn.text.split("\n")[0] for each in exercises for turn in each[1:]]
    right = sum(text.startswith("Right.") for text in told)
    assert len(told) > 100
    assert right < 0.25 * len(told) + 4 * sqrt(0.25 * 0.75 * len(told))
    first, chance = 0, 0.0
    for turn, *_ in exercises:
        lines = re.findall(r"^\d+\. ", turn.text, re.MULTILINE)
        first += json.loads(turn.answer)["current instruction"] == "1"
        chance += 1 / len(lines)
    at_chance(first, chance, "the first line is named")


def test_the_streets_choices_are_right_by_chance(exercises):
    the_streets_choices_are_right_by_chance(exercises["street_form_in_words"])


ACTION = re.compile(r"Turn (?:.* to face )?(.*)\.$")


def short_choices_follow_nothing(exercises):
    """Neither the line that a verdict leads to is named more often than others, nor is done what the named
    line says; and what a line waits for is judged rightly, so that comparing is learnt."""
    judged = Counter()
    named, named_by_chance, done, turns_ = 0, 0.0, 0, 0
    for each in exercises:
        lines = re.findall(r"^\d+\. (.*)$", each[0].text, re.MULTILINE)
        for turn in each:
            number, action = re.fullmatch(r"(\d+): (.*)", turn.answer.split("\n")[-1]).groups()
            line = lines[int(number) - 1]
            facing = ACTION.match(line)
            done += action == (
                f"turn {facing[1]}" if facing else line.split(" ")[0].strip(".").lower()
            )
            turns_ += 1
            if not (waits := re.search(r"(\d+) until (.*): (reached|not reached)\.", turn.answer)):
                continue
            at, awaited, verdict = int(waits[1]), waits[2], waits[3]
            assert lines[at - 1] == f"Forward until {awaited}."
            seen = re.search(r"Here: (.*)\.", turn.answer.split("\n")[0].split(f" {at} until")[0])[
                1
            ]
            assert verdict == ("reached" if is_seen(awaited, seen.split("; ")) else "not reached")
            judged[verdict] += 1
            named += int(number) == at + (verdict == "reached")
            named_by_chance += 1 / len(lines)
    assert min(judged.values()) > 10
    at_chance(named, named_by_chance, "the line that is next is named")
    at_chance(done, turns_ / 10, "what the named line says is done")


def is_seen(awaited, seen):
    where, _, landmark = awaited.partition(", ")
    there = [landmark in seen] if landmark else []
    there += ["intersection" in seen] if "intersection" in where else []
    return bool(there) and all(there)


def test_short_choices_follow_nothing(exercises):
    short_choices_follow_nothing(exercises["short_street_form_in_words"])


def test_short_streets_have_turns_of_either_style_and_never_of_both(exercises):
    """Defect: all were by the compass, so that "turn left" was never written in this form."""
    styles = Counter()
    for each in exercises["short_street_form_in_words"]:
        turned = set(re.findall(r": turn (.*)$", "\n".join(t.answer for t in each), re.MULTILINE))
        by_compass = {name for name in turned if name in directions("absolute")}
        assert by_compass in (set(), turned), turned
        styles["absolute" if by_compass else "relative"] += bool(turned)
        facing = "to face" in each[0].text
        assert not (facing and turned - by_compass), each[0].text
    assert min(styles["absolute"], styles["relative"]) > 100


def test_no_task_is_told_but_in_forms(exercises):
    """What has a task's words has its answers drawn at random; a skill is asked for in words of its own."""
    for name in exercises.keys() - taught.TEXT_FORMS.keys():
        for turn in turns(exercises, name):
            assert not re.search(r"\b[Mm]ake \d|Instructions:|\btarget\b", turn.text), turn.text


@pytest.mark.slow
def test_exercises_with_pictures_are_true_and_choose_by_chance():
    found = drawn(WITH_PICTURES, 20)
    for turn in turns(found):
        all_is_true(turn)
    the_streets_choices_are_right_by_chance(found["street_form"])
    short_choices_follow_nothing(found["short_street_form"])


def test_a_thought_stands_under_a_prompt_whose_example_has_one():
    """Defect: of the prompts' four examples two stayed without the steps that answers showed."""
    rng = np.random.default_rng(0)
    seen = [cards_form(rng, visual=False)[0] for _ in range(60)]
    assert {'"thought"' in turn.answer for turn in seen} == {False, True}
    assert all('"thought"' in turn.text for turn in seen if '"thought"' in turn.answer)


def test_chance_solves_as_many_math_tasks_as_the_card_says():
    """A success before any demonstration is to be held against it: tasks of three numbers are often met."""
    env, rng, solved = TASKS["math"].make(), np.random.default_rng(0), 0
    for seed in range(600):
        observation, _ = env.reset(seed=seed)
        target, *numbers = map(int, re.findall(r"\d+", observation["text"].split(".")[0]))
        solved += derivation(rng, numbers).value == target
    assert 0.08 < solved / 600 < 0.14
