"""`amft/GeneralPoints-v0` through the public door, and the published defects it is free of."""

import json
import re
from collections import Counter
from fractions import Fraction

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.general_points import env as env_module
from envs.general_points.formula import read_formula
from envs.general_points.verdict import REWARDS
from tests.envs.test_derivation import followed

HAND = ["3S", "3C", "8S", "8C"]


def make(**arguments):
    return gymnasium.make("amft/GeneralPoints-v0", **({"modality": "text"} | arguments))


def answered(text, hand=("4S", "6S", "AS", "AC"), **arguments):
    """The verdict and the reward of one answer to a given hand."""
    env = make(colors="all", **arguments)
    env.reset(seed=0, options={"hand": list(hand)})
    observation, reward, terminated, truncated, info = env.step(text)
    assert env.observation_space.contains(observation)
    assert reward == REWARDS[info["verdict"]]
    assert not truncated
    assert terminated == (info["verdict"] == "correct")
    return info


@pytest.mark.parametrize("modality", ["text", "visual"])
@pytest.mark.parametrize(
    "arguments", [{}, {"prompts": "varied"}, {"thought": "steps"}, {"thought": "search"}]
)
def test_gymnasium_accepts_it(modality, arguments):
    check_env(make(modality=modality, render_mode="rgb_array", **arguments).unwrapped)


@pytest.mark.parametrize("modality", ["text", "visual"])
def test_one_seed_decides_everything(modality):
    """Published defect 1: the seed of a reset did not decide the cards."""
    first, second = (make(modality=modality, prompts="varied", size=(112, 112)) for _ in range(2))
    hands = set()
    for seed in range(30):
        (a, info), (b, other) = first.reset(seed=seed), second.reset(seed=seed)
        assert a["text"] == b["text"]
        assert info == other
        assert modality == "text" or np.array_equal(a["image"], b["image"])
        hands.add(tuple(info["cards"]))
    assert len(hands) == 30


@pytest.mark.parametrize("num_cards", [3, 4, 5, 6])
@pytest.mark.parametrize("target", [24, 36])
def test_the_expert_wins_every_hand(num_cards, target):
    env = make(num_cards=num_cards, target=target, colors="all", face_rule="rank", thought="steps")
    for seed in range(25):
        env.reset(seed=seed)
        _, reward, terminated, _, info = env.step(env.unwrapped.expert())
        assert (reward, terminated, info["success"], info["ended_by"]) == (5, True, True, "success")


def derivation(answer):
    """The statements of an answer's derivation."""
    return json.loads(answer)["thought"].split("; ")


@pytest.mark.parametrize("modality", ["text", "visual"])
@pytest.mark.parametrize("face_rule", ["ten", "rank"])
def test_the_expert_derives_what_it_writes(face_rule, modality):
    """By steps that are true, from the numbers of the hand to the target, and then by the formula."""
    env = make(thought="steps", colors="all", face_rule=face_rule, modality=modality)
    for seed in range(40):
        _, info = env.reset(seed=seed)
        answer = env.unwrapped.expert()
        assert list(json.loads(answer)) == ["cards", "number", "thought", "formula"]
        statements = derivation(answer)
        assert len(statements) == 3
        assert followed(statements, info["numbers"]) == 24
        assert env.step(answer)[1] == 5


@pytest.mark.parametrize("split", ["train", "ood_hand", "ood_rule"])
@pytest.mark.parametrize("num_cards", [3, 4, 5])
def test_a_search_ends_at_the_target_and_wins(split, num_cards):
    """Defect: tries were drawn at random, so that a small model learnt how many there are and not when to
    stop."""
    arguments = {"thought": "search", "split": split, "num_cards": num_cards}
    env, again = make(**arguments), make(**arguments)
    searches = 0
    for seed in range(40):
        env.reset(seed=seed)
        again.reset(seed=seed)
        answer = env.unwrapped.expert()
        assert answer == env.unwrapped.expert() == again.unwrapped.expert()
        search, _, found = json.loads(answer)["thought"].partition(". So ")
        for statement in re.split("[.;,] ", f"{search}; {found}" if found else search):
            left, sign, right, _, made = statement.split(" and ")[0].split()
            assert read_formula(left + sign + right).value == Fraction(made)
        assert search.endswith(" = 24")
        searches += bool(found)  # else only fractions do
        assert env.step(answer)[1] == 5
    assert searches > 30


def test_a_mistake_is_derived_by_true_steps_that_end_elsewhere():
    env = make(thought="steps")
    for seed in range(30):
        _, info = env.reset(seed=seed)
        wrong = env.unwrapped.mistake(np.random.default_rng(seed))
        statements = derivation(wrong)
        made = followed(statements, info["numbers"])
        assert made == read_formula(json.loads(wrong)["formula"]).value != 24
        assert env.step(wrong)[4]["verdict"] == "wrong_value"


def test_a_mistake_of_who_searches_is_a_search_for_something_else():
    """Defect: it was three lines where an expert's is twenty, so that wrong demonstrations differed in more
    than what decides."""
    env, lengths = make(thought="search"), []
    for seed in range(60):
        env.reset(seed=seed)
        right = env.unwrapped.expert()
        wrong = env.unwrapped.mistake(np.random.default_rng(seed))
        lengths.append([len(json.loads(said)["thought"]) for said in (right, wrong)])
        said = json.loads(wrong)
        search, _, found = said["thought"].partition(". So ")
        for statement in re.split("[.;,] ", f"{search}; {found}" if found else search):
            left, sign, right, _, made = statement.split(" and ")[0].split()
            assert read_formula(left + sign + right).value == Fraction(made)
        assert read_formula(said["formula"].split("=")[0]).value == Fraction(made) != 24
        assert env.step(wrong)[4]["verdict"] == "wrong_value"
    of_right, of_wrong = np.mean(lengths, 0)
    assert 0.5 < of_wrong / of_right < 2


@pytest.mark.parametrize("thought", ["none", "steps", "search"])
def test_a_thought_may_always_be_written_or_left_out(thought):
    """It is never judged."""
    bare = {"cards": ["4", "6", "A", "A"], "number": [4, 6, 1, 1], "formula": "4*6*1*1=24"}
    for said in (bare, bare | {"thought": "1 + 1 = 3"}, bare | {"thought": None}):
        assert answered(json.dumps(said), thought=thought)["verdict"] == "correct"


ANSWERS = [
    ('{"cards": ["4", "6", "A", "A"], "number": [4, 6, 1, 1], "formula": "4*6*1*1=24"}', "correct"),
    ('{"formula": "6 * 4 * 1 * 1"}', "correct"),
    ("```json\n{'formula': '6×4÷1÷1', }\n```", "correct"),
    ("I would say 4*6*1*1 = 24", "correct"),
    ("4*6*1*1", "correct"),
    ('{"formula": "4*6*1*1=24", "cards": null, "number": null}', "correct"),
    ('{"formula": "4*6*1*1", "number": "4, 6, 1, 1"}', "correct"),
    # Published defect 5: the right-hand side and the field number were never checked.
    ('{"formula": "4*6*1*1=25"}', "wrong_value"),
    ('{"formula": "4*6*1*1=24", "number": [4, 6, 1, 2]}', "wrong_numbers"),
    ('{"formula": "4+6+1+1=24"}', "wrong_value"),
    ('{"formula": "4*6/(1-1)"}', "wrong_value"),
    ('{"formula": "4*6=24"}', "wrong_numbers"),
    ('{"formula": "4*6*1*1*1=24"}', "wrong_numbers"),
    ('{"formula": "12*2=24"}', "wrong_numbers"),
    # Published defect 4: an unclosed prefix of a solution paid +1 every time.
    ('{"formula": "(4*6*1"}', "illegal_formula"),
    # Published defect 6: penalties added up to -7 here.
    ('{"formula": "1++9"}', "illegal_formula"),
    # Published defect 9: a formula given as a number raised.
    ('{"formula": 24}', "wrong_numbers"),
    ('{"formula": [4, 6]}', "illegal_formula"),
    ('{"formula": null}', "illegal_formula"),
    ('{"cards": ["4"]}', "illegal_formula"),
    ("", "illegal_formula"),
    ("I do not know.", "illegal_formula"),
    ("{\"formula\": \"__import__('os').system('true')\"}", "illegal_formula"),
]


@pytest.mark.parametrize(("text", "verdict"), ANSWERS)
def test_each_answer_has_one_row_of_the_table(text, verdict):
    assert answered(text)["verdict"] == verdict


@pytest.mark.parametrize(
    ("cards", "verdict"),
    [
        # Published defect 7: valid JSON lists and bare integers were "wrong cards".
        (["4", "6", "A", "A"], "correct"),
        ([4, 6, 1, 1], "correct"),
        (["4S", "6 of spades", "ace", "A♣"], "correct"),
        ("4, 6, A, A", "correct"),
        (["A", "A", "4", "6"], "correct"),
        (["5", "6", "A", "A"], "misread_cards"),
        (["4", "6", "A"], "misread_cards"),
        (["?", None, {}, []], "misread_cards"),
        ([], "misread_cards"),
    ],
)
def test_reading_the_cards_is_a_task_in_pictures_only(cards, verdict):
    text = json.dumps({"cards": cards, "formula": "4*6*1*1=24"})
    assert answered(text, modality="visual")["verdict"] == verdict
    assert answered(text, modality="text")["verdict"] == "correct"


def test_the_first_failing_check_decides():
    both = json.dumps({"cards": ["5"], "number": [9], "formula": "(1"})
    assert answered(both, modality="visual")["verdict"] == "illegal_formula"
    both = json.dumps({"cards": ["5"], "number": [9], "formula": "1+1"})
    assert answered(both, modality="visual")["verdict"] == "misread_cards"
    assert answered(both, modality="text")["verdict"] == "wrong_numbers"


def test_every_solution_that_is_listed_is_accepted():
    """Published defect 3: 45 hands listed a solution that the verifier rejected."""
    env = make(colors="all", face_rule="rank")
    for seed in range(150):
        _, info = env.reset(seed=seed)
        solution = info["solutions"][seed % len(info["solutions"])]
        assert read_formula(solution).value == 24
        assert env.step(json.dumps({"formula": solution}))[1] == 5
    env.reset(options={"hand": HAND})
    assert env.step("8/(3-8/3)")[1] == 5


def test_the_last_attempt_counts_and_running_out_adds_no_penalty():
    """Published defects 10 and 11."""
    env = make(attempts=3)
    env.reset(options={"hand": HAND})
    for left in (2, 1):
        _, reward, terminated, _, info = env.step("3+3+8+8")
        assert (reward, terminated, info["attempts_left"]) == (-1, False, left)
        assert info["ended_by"] is None
    _, reward, terminated, truncated, info = env.step("3+3+8+8")
    assert (reward, terminated, truncated) == (-1, True, False)
    assert (info["ended_by"], info["success"]) == ("out_of_attempts", False)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step("8/(3-8/3)")
    env.reset(options={"hand": HAND})
    env.step("3+3+8+8")
    env.step("3+3+8+8")
    assert env.step("8/(3-8/3)")[4]["success"]


@pytest.mark.parametrize("colors", ["black", "red", "all"])
def test_no_card_is_dealt_twice(colors):
    """Published defect 12: black hands repeated a card in 21.5 % of the deals."""
    env = make(colors=colors, num_cards=6)
    suits = Counter()
    for seed in range(200):
        cards = env.reset(seed=seed)[1]["cards"]
        assert len(set(cards)) == 6
        suits.update(card[-1] for card in cards)
    assert set(suits) == set({"black": "SC", "red": "HD", "all": "SCHD"}[colors])


def test_hands_are_dealt_uniformly_among_those_that_may_be():
    """Pairs are rarer than in draws with replacement, exactly as one deck without replacement says."""
    env = make(num_cards=3, target=10, colors="black")
    seen = Counter(tuple(sorted(env.reset(seed=seed)[1]["cards"])) for seed in range(6000))
    assert max(seen.values()) < 6 * 6000 / len(seen)


def test_the_text_modality_draws_nothing(monkeypatch):
    """Published defect 14: it drew the picture at every step."""
    import envs.general_points.env as module

    monkeypatch.setattr(module, "table_picture", lambda *_: pytest.fail("a picture was drawn"))
    env = make()
    env.reset(seed=0)
    env.step("1+1")


@pytest.mark.parametrize("thought", ["none", "steps", "search"])
def test_the_example_in_every_prompt_is_valid_and_right(thought):
    """Published defect 15: the prompt's own example was not valid JSON."""
    env = make(prompts="varied", thought=thought)
    seen = set()
    for seed in range(100):
        observation, info = env.reset(seed=seed)
        text = observation["text"]
        example = json.loads(text[text.index("{") : text.index("}") + 1])
        formula = read_formula(example["formula"])
        assert ("thought" in example) == (thought != "none")
        assert formula.value == formula.claimed
        assert Counter(formula.numbers) == Counter(example["number"])
        assert Counter(example["number"]) != Counter(info["numbers"])
        seen.add(text.split("{")[0].replace(", ".join(c[:-1] for c in info["cards"]), ""))
    assert len(seen) > 30


def test_feedback_does_not_tell_what_is_to_be_seen():
    """It named the numbers that a formula lacked: an agent that never looked won its second attempt."""
    said = answered('{"formula": "4*6*1=24"}', modality="visual")["feedback"]
    assert said == "The formula must use the number of each card once. 4 attempts left."


def test_feedback_helps():
    assert "missing: 1" in answered('{"formula": "4*6*1=24"}')["feedback"]
    assert "makes 12, not 24" in answered('{"formula": "4+6+1+1"}')["feedback"]
    assert "divides by zero" in answered('{"formula": "4*6/(1-1)"}')["feedback"]
    assert "4 attempts left" in answered("")["feedback"]
    assert "makes 8/3, not 24" in answered("4/6+1+1")["feedback"]


def test_faces_count_by_the_rule():
    for rule, number in (("ten", 10), ("rank", 13)):
        env = make(face_rule=rule)
        _, info = env.reset(options={"hand": ["KS", "2S", "3S", "AS"]})
        assert info["numbers"] == [number, 2, 3, 1]


def hands(split, count=1500):
    """Card names, and their numbers with faces as ten, of `count` hands in pictures, which tell suits."""
    env = make(split=split, modality="visual", size=(32, 32))
    dealt = [tuple(sorted(env.reset(seed=seed)[1]["cards"])) for seed in range(count)]
    ranks = [["A23456789TJQK".index(c[0].replace("1", "T")) + 1 for c in hand] for hand in dealt]
    return set(dealt), {tuple(sorted(min(rank, 10) for rank in hand)) for hand in ranks}


def test_training_and_evaluation_hands_do_not_overlap():
    """Whichever way round the cards lie."""
    train, numbers = hands("train", 5000)
    for split in ("id", "ood_hand", "ood_rule", "ood_color", "ood_deck"):
        held_out, _ = hands(split, 400)
        assert len(held_out) > 300
        assert not train & held_out
    assert not numbers & hands("ood_hand", 400)[1]
    assert len(hands("id", 400)[1] - numbers) < 10  # a hand may be new, its numbers are not
    assert len(hands("ood_color", 400)[1] - numbers) < 10


def test_in_words_no_prompt_of_training_is_evaluated_on():
    """Suits are not told there: 299 of 300 hands read as one that training deals."""

    def told(split, count):
        env = make(split=split, modality="text")
        return {env.reset(seed=seed)[0]["text"] for seed in range(count)}

    train = told("train", 20_000)
    for split in ("id", "ood_hand", "ood_rule"):
        held_out = told(split, 300)
        assert len(held_out) > 250
        assert not train & held_out


def test_every_hand_of_the_other_rule_has_a_face():
    for hand in hands("ood_rule", 200)[0]:
        assert any(card[0] in "JQK" for card in hand)


def facts_of(split, count=150, **arguments):
    """What the prompt says and what is judged, of `count` hands; the expert wins each."""
    env = make(split=split, **arguments)
    for seed in range(count):
        observation, info = env.reset(seed=seed)
        assert env.step(env.unwrapped.expert())[4]["success"]
        yield observation["text"], [card[:-1] for card in info["cards"]], info["numbers"]


@pytest.mark.parametrize(
    ("split", "said", "faces"),
    [
        ("ood_regular", "J as 11, Q as 12 and K as 13", {"J": 11, "Q": 12, "K": 13}),
        ("ood_all_12", "J, Q and K count as 12", {"J": 12, "Q": 12, "K": 12}),
        ("ood_fake", "J as 11, Q as 12 and K as 13", {"J": 10, "Q": 10, "K": 10}),
    ],
)
def test_reported_splits_say_and_judge_their_rules(split, said, faces):
    """In ood_fake the words are new and the rule is training's: only who does not read them succeeds."""
    trained = hands("train", 3000)[0]
    for text, names, numbers in facts_of(split):
        assert said in text
        assert numbers == [faces[n] if n in faces else 1 if n == "A" else int(n) for n in names]
        assert set(names) & set(faces)
    assert not trained & hands(split, 200)[0]


def test_reported_splits_deal_numbers_beyond_the_cards_and_a_fifth_card():
    for _, names, numbers in facts_of("ood_large"):
        assert max(numbers) in range(14, 20)
        assert len(names) == 4
        assert all(str(number) in names for number in numbers if number > 13)
    for text, names, numbers in facts_of("ood_five", 60):
        assert len(names) == len(numbers) == 5
        assert "J, Q and K count as 10" in text
    assert len(make(split="ood_five", modality="visual").reset(seed=0)[1]["cards"]) == 5


def test_the_rule_split_keeps_its_old_name():
    old, new = make(split="ood_rule"), make(split="ood_regular")
    for seed in range(30):
        assert old.reset(seed=seed)[0] == new.reset(seed=seed)[0]


def test_a_varied_rule_is_told_and_is_never_that_of_another_split():
    """Prompt diversity: what J, Q, K count is drawn with each hand."""
    rules = set()
    for text, names, numbers in facts_of("train", 200, face_rule="varied", prompts="varied"):
        assert all(str(number) in text for number in numbers)
        rules |= {(n, k) for n, k in zip(names, numbers, strict=True) if n in "JQK"}
    assert len(rules) > 10
    assert not rules & {("J", 12), ("Q", 12), ("K", 12), ("K", 13)}
    assert (
        "J, Q and K count as 12" in make(split="ood_all_12", face_rule="varied").reset()[0]["text"]
    )
    assert "Q as 12" in make(split="ood_rule", face_rule="varied").reset()[0]["text"]


def test_splits_change_what_they_say():
    assert "Q as 12" in make(split="ood_rule").reset(seed=0)[0]["text"]
    red = make(modality="visual", split="ood_color").reset(seed=0)[1]["cards"]
    assert {card[-1] for card in red} <= set("HD")
    hand = {"hand": HAND}
    here, there = (
        make(modality="visual", split=split).reset(options=hand)[0]["image"]
        for split in ("id", "ood_deck")
    )
    assert not np.array_equal(here, there)


ENVS = {modality: make(modality=modality, size=(56, 56)) for modality in ("text", "visual")}
json_like = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
formulas = st.text("0123456789+-*/()= x×÷", max_size=30)
answers = st.fixed_dictionaries(
    {}, optional={"cards": json_like, "number": json_like, "formula": json_like | formulas}
).map(json.dumps)


@settings(max_examples=2000, deadline=None)
@given(st.sampled_from(sorted(ENVS)), st.text(max_size=300) | formulas | answers)
def test_every_string_is_a_legal_action(modality, text):
    env = ENVS[modality]
    env.reset(seed=0)
    observation, reward, _, _, info = env.step(text)
    assert reward == REWARDS[info["verdict"]]
    assert env.observation_space.contains(observation)


@pytest.mark.parametrize(
    "text",
    ["{" * 10**6, "9" * 10**6, "(" * 10**6, '{"formula": "' + "1+" * 10**6, "1+" * 10**6 + "1"],
)
def test_a_megabyte_is_a_legal_action(text):
    assert answered(text)["verdict"] in ("illegal_formula", "wrong_numbers")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"modality": "txt"}, ["modality", "'txt'", "Did you mean 'text'"]),
        ({"target": 0}, ["target", "0"]),
        ({"target": "24"}, ["target", "'24'", "whole number"]),
        ({"num_cards": 7}, ["num_cards", "7", "3 to 6"]),
        ({"face_rule": "11"}, ["face_rule", "'11'", "'rank'"]),
        ({"colors": "blue"}, ["colors", "'blue'", "'black'"]),
        ({"deck": "clasic"}, ["deck", "'clasic'", "Did you mean 'classic'"]),
        ({"attempts": 0}, ["attempts", "0"]),
        ({"thought": True}, ["thought=True", "'none'", "'steps'", "'search'"]),
        ({"thought": False}, ["thought=False", "'none'", "'steps'", "'search'"]),
        ({"thought": "step"}, ["thought='step'", "Did you mean 'steps'"]),
        ({"size": (5, 5)}, ["size", "5"]),
        ({"split": "test"}, ["split", "'test'", "'train'"]),
        ({"split": "ood_color", "colors": "all"}, ["ood_color", "all"]),
        ({"split": "ood_color", "modality": "text"}, ["'ood_color'", "modality='visual'"]),
        ({"split": "ood_deck", "modality": "text"}, ["'ood_deck'", "would be 'id'"]),
        ({"split": "ood_hand", "face_rule": "varied"}, ["ood_hand", "one face_rule"]),
        ({"split": "ood_regular", "face_rule": "rank"}, ["ood_regular", "'rank'", "same rule"]),
        ({"split": "ood_all_12", "face_rule": "twelve"}, ["ood_all_12", "same rule"]),
        ({"split": "ood_five", "num_cards": 5}, ["ood_five", "another num_cards"]),
        ({"split": "ood_large", "modality": "visual"}, ["ood_large", "modality='text'"]),
        ({"target": 9999, "num_cards": 3}, ["target=9999", "no hand"]),
    ],
)
def test_a_bad_argument_is_named_with_what_is_allowed(arguments, words):
    with pytest.raises(ValueError) as error:
        make(**arguments)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("num_cards", [5, 6])
def test_a_target_that_no_hand_of_many_cards_makes_is_said_in_time(monkeypatch, num_cards):
    """Defect: each of 20,000 hands was searched, for seconds, and the environment was never made."""
    assert env_module._SEARCHES[num_cards] <= 500
    monkeypatch.setitem(env_module._SEARCHES, num_cards, 1)
    said = rf"target=9973, num_cards={num_cards}, split='all': found no hand .* in 1 deals; .*fewer cards"
    with pytest.raises(ValueError, match=said):
        make(num_cards=num_cards, target=9973)


@pytest.mark.parametrize(
    ("hand", "word"),
    [
        (["3S"], "4 cards"),
        (["3S", "3S", "8S", "8C"], "twice"),
        (["3S", "3C", "8S", "1X"], "'1X'"),
        ("3S", "hand"),
    ],
)
def test_a_bad_hand_is_named(hand, word):
    with pytest.raises(ValueError, match=word):
        make().reset(options={"hand": hand})
