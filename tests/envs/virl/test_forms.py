"""The forms of V-IRL's answers: published JSON and the short one, each with and without a thought."""

import itertools
import json
import re

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from envs.paths import data_folder
from envs.virl.answer import read_short

FORMS = list(itertools.product(("json", "short"), ("none", "steps"), ("number", "sentence")))
WAITS = re.compile(r"(?:(\d+) u|U)ntil (.+): (reached|not reached)\.")


def make(**arguments):
    return gymnasium.make("amft/VIRL-v0", **({"modality": "text", "size": (56, 56)} | arguments))


def play_expert(env, seed):
    """What the expert says at each turn, with what was told before and came of it."""
    observation, info = env.reset(seed=seed)
    while not info["ended_by"]:
        before, said = info, env.unwrapped.expert()
        told = observation["text"]
        observation, reward, _, _, info = env.step(said)
        yield told, before, said, reward, info


def seen_and_waited_for(said):
    """The landmarks of an answer's observation and what it says of what is waited for."""
    if said.startswith("{"):
        fields = json.loads(said)
        seen, waits = fields["current observation"], fields.get("thought", "")
    else:
        first = said.splitlines()[0].removeprefix("Here: ")
        seen, _, waits = first.partition(". ")
    return seen.rstrip(".").split("; "), waits


@pytest.mark.parametrize("modality", ["text", "visual"])
@pytest.mark.parametrize("mode", ["rail", "free"])
@pytest.mark.parametrize("form", [("json", "steps"), ("short", "none"), ("short", "steps")])
def test_gymnasium_accepts_it(modality, mode, form):
    answer, thought = form
    check_env(
        make(
            modality=modality, mode=mode, answer=answer, thought=thought, prompts="varied"
        ).unwrapped
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["rail", "free"])
@pytest.mark.parametrize("actions", ["absolute", "relative"])
def test_the_expert_arrives_in_every_form(form, mode, actions):
    answer, thought, way = form
    for city in ("gridtown", "helsinki"):
        env = make(
            mode=mode,
            actions=actions,
            city=city,
            answer=answer,
            thought=thought,
            instruction_as=way,
            prompts="varied",
        )
        for seed in range(12):
            *_, (*_, reward, info) = play_expert(env, seed)
            assert (info["success"], reward) == (True, 1.0)


@pytest.mark.parametrize("answer", ["json", "short"])
@pytest.mark.parametrize("mode", ["rail", "free"])
@pytest.mark.parametrize("way", ["number", "sentence"])
def test_what_the_expert_thinks_is_so(answer, mode, way):
    """It waits for what an instruction of the prompt names, has reached it where it sees it, and then
    the next instruction applies."""
    env = make(mode=mode, answer=answer, thought="steps", instruction_as=way)
    reached = turns = 0
    for seed in range(40):
        for _, before, said, _, _ in play_expert(env, seed):
            seen, waits = seen_and_waited_for(said)
            assert "; ".join(seen) + "." == before["observation"]
            turns += 1
            if not waits:
                assert "turn" in said.splitlines()[-1]
                continue
            number, awaited, state = WAITS.fullmatch(waits).groups()
            assert (number is not None) == (way == "number")
            listed = [s for s in before["instructions"] if awaited in s]
            assert len(listed) == 1
            index = before["instructions"].index(listed[0])
            assert number in (None, str(index + 1))
            landmark = re.split(r", (?:where )?", awaited, maxsplit=1)[1]
            at_one = "intersection" in awaited
            if state == "reached":
                reached += 1
                assert landmark in seen
                assert before["at_intersection"] or not at_one
            elif at_one:
                assert landmark not in seen or not before["at_intersection"]
            if mode == "rail":
                assert before["instruction_index"] == index + (state == "reached")
    assert 0 < reached < turns


def test_an_expert_that_has_lost_its_way_says_so():
    env = make(mode="free", answer="short", thought="steps")
    said = set()
    for seed in range(6):
        _, info = env.reset(seed=seed)
        for action in ("turn north", "forward", "turn east", "forward", "turn south", "forward"):
            if not info["ended_by"]:
                said.add(env.unwrapped.expert().splitlines()[0])
                *_, info = env.step(action)
    assert any(line.endswith("Off the way.") for line in said)


def test_the_short_form_asks_for_itself_and_says_so_with_its_example():
    for mode, thought, way in itertools.product(
        ("rail", "free"), ("none", "steps"), ("number", "sentence")
    ):
        env = make(mode=mode, answer="short", thought=thought, instruction_as=way)
        told = env.reset(seed=1)[0]["text"]
        assert "JSON" not in told
        example = told.split("like:")[1].rsplit("\nHere: ", 1)[0].strip()
        assert len(example.splitlines()) == (2 if thought == "steps" else 1)
        read = read_short(example, "absolute")
        assert str(read.action) == "turn_direction(north)"
        named = {"number": "3", "sentence": "Turn around"}[way] if mode == "rail" else None
        assert read.instruction == named


@pytest.mark.parametrize(
    ("text", "instruction", "action"),
    [
        ("2: forward", "2", "forward()"),
        ("Here: nothing. 1 until X: not reached.\n 3 : Turn south", "3", "turn"),
        ("forward", None, "forward()"),
        ("Forward until A: B, C left: forward.", "Forward until A: B, C left", "forward()"),
        ("2: forward\n\n", "2", "forward()"),
        # Strict: nothing else is an action, and only the last line counts.
        ("2: forward()", "2", None),
        ("2: turn_direction(south)", "2", None),
        ("2 forward", None, None),
        ("2: turn left", "2", None),  # of the other style
        ("2: turn", "2", None),
        ("2: forward\nI hope.", None, None),
        ('{"action": "forward()"}', '{"action"', None),
        ("", None, None),
    ],
)
def test_the_short_form_is_read_strictly(text, instruction, action):
    read = read_short(text, "absolute")
    assert read.instruction == instruction
    assert (read.action is None) == (action is None)
    assert action is None or str(read.action).startswith(action)


def test_a_short_answer_is_judged_by_the_same_table():
    env = make(answer="short", attempts=20)
    _, info = env.reset(seed=0)
    assert info["instructions"][0] == "Turn left to face east."
    for text, verdict in [
        ("2: forward", "wrong_instruction"),
        ("1: forward", "wrong_action"),
        ("forward", "wrong_action"),
        ("nonsense", "wrong_action"),
        ("1: turn east", "correct_action"),
    ]:
        *_, info = env.step(text)
        assert info["verdict"] == verdict
    env.reset(seed=0)
    assert env.step("1: go")[4]["feedback"].startswith('No such action: "go".')


@pytest.mark.parametrize("form", FORMS)
def test_a_mistake_keeps_to_the_form(form):
    answer, thought, way = form
    env = make(answer=answer, thought=thought, instruction_as=way)
    for seed in range(12):
        env.reset(seed=seed)
        wrong = env.unwrapped.mistake(np.random.default_rng(seed))
        assert wrong != env.unwrapped.expert()
        assert env.step(wrong)[4]["verdict"] in ("wrong_action", "wrong_instruction")
        _, waits = seen_and_waited_for(wrong)
        assert thought == "none" or not waits or WAITS.fullmatch(waits)


def test_a_short_turn_takes_half_the_tokens_of_the_tiny_model():
    tokenizer = AutoTokenizer.from_pretrained(data_folder("assets") / "tiny-vlm")

    def tokens(**arguments):
        turns = [
            len(tokenizer(text)["input_ids"])
            for seed in range(10)
            for told, _, said, _, _ in itertools.islice(
                play_expert(make(**arguments), seed), 1, None
            )
            for text in (told, said)
        ]
        return 2 * sum(turns) / len(turns)

    published = tokens(instruction_as="sentence")
    assert tokens(answer="short", instruction_as="sentence") < 0.5 * published
    assert tokens(answer="short", instruction_as="number") < 0.4 * published
    assert tokens(answer="short", thought="steps") < 0.75 * tokens(thought="steps")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300), st.sampled_from(["absolute", "relative"]))
def test_any_text_is_read_or_refused(text, style):
    read_short(text, style)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"answer": "xml"}, ["answer='xml'", "'json'", "'short'"]),
        ({"thought": "search"}, ["thought='search'", "'none'", "'steps'"]),
        ({"thought": True}, ["thought=True", "'none'", "'steps'"]),
    ],
)
def test_a_bad_argument_is_named_with_what_is_allowed(arguments, words):
    with pytest.raises(ValueError) as error:
        make(**arguments)
    assert all(word in str(error.value) for word in words)
