"""How the tiny VLM is made: exercises that are true, a repeatable training, an honest card."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import PartialState
from hydra import compose, initialize_config_module

from agents.policy import Policy
from agents.tiny_vlm import build_tiny_vlm
from amft_mm.pretrain import rate, store, teach
from amft_mm.pretraining import exercises as taught
from amft_mm.pretraining.card import AT_MOST, TARGETS, model_card
from amft_mm.pretraining.exam import QUESTIONS, TASKS, ask, examine
from envs.virl.city_files import load_city

ROOT = Path(__file__).parents[2]
KINDS = {**taught.FIRST_SIGHT, **taught.SHORT_SIGHT, **taught.SHORT_TEXT, **taught.FORMS}


def drawn(name, count=20):
    rng = np.random.default_rng(0)
    return [KINDS[name][0](rng) for _ in range(count)]


@pytest.mark.parametrize("name", KINDS)
def test_exercises_are_a_function_of_their_generator(name):
    one, two = drawn(name, 3), drawn(name, 3)
    for a, b in zip(one, two, strict=True):
        assert [(t.text, t.answer) for t in a] == [(t.text, t.answer) for t in b]
        for x, y in zip(a, b, strict=True):
            assert (x.image is None) == (y.image is None)
            assert x.image is None or np.array_equal(x.image, y.image)


def test_sums_are_right():
    for exercise in drawn("sums"):
        for turn in exercise:
            a, sign, b, *_ = turn.text.split()
            assert int(turn.answer) == taught.SIGNS[sign](int(a), int(b))


def test_lines_are_right():
    for exercise in drawn("lines", 60):
        listed = [line.split(". ", 1)[1] for line in exercise[0].text.split("\n")[:-1]]
        for turn in exercise:
            question = turn.text.split("\n")[-1]
            if question.startswith("Recite"):
                assert turn.answer == listed[int(question.split()[-1][:-1]) - 1]
            elif question.startswith("How many"):
                assert turn.answer == str(len(listed))
            elif question.startswith("Which line"):
                assert listed[int(turn.answer) - 1] == question.removeprefix("Which line says: ")
            else:
                at = int(question.split()[-1][:-1])
                assert turn.answer == (listed[at] if at < len(listed) else "The end.")


def test_the_unseen_combinations_are_never_taught():
    """Else the exam's figure for them would mean nothing."""
    unseen = {mark.name for mark in load_city("newyork").landmarks}
    for name in KINDS:
        for exercise in drawn(name, 40):
            for turn in exercise:
                assert not any(shop in turn.text + turn.answer for shop in unseen)


def test_forms_teach_no_policy():
    """What is to be done is drawn at random: seldom right, in V-IRL and in General Points."""
    actions, right = 0, 0
    for exercise in drawn("street_form", 60):
        feedback = [turn.text.split("\n")[0] for turn in exercise[1:]]
        actions += len(feedback)
        right += sum(text.startswith("Right.") for text in feedback)
    assert actions > 100
    assert right < 0.5 * actions
    hands = drawn("cards_form", 60)
    assert sum(len(exercise) == 1 or "Correct" in exercise[-1].text for exercise in hands) < 50


def test_the_rate_warms_up_and_comes_down():
    rates = [rate(step, 100, 10) for step in range(1, 101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) <= 1.0
    assert rates[-1] == pytest.approx(0.02, abs=1e-3)


def settings(**changes):
    with initialize_config_module("configs", version_base="1.3"):
        config = compose("pretrain")
    config.batch = {"first": 8, "first_text": 4, "sight": 4, "text": 4, "forms": 1}
    config.steps, config.first_steps, config.forms_from, config.warmup = 6, 2, 3, 2
    config.log_every, config.exam = 6, 2
    return config


def untrained(folder, seed):
    build_tiny_vlm(folder, seed)
    return Policy.load(str(folder), device="cpu")


def taught_to(folder, config):
    policy = untrained(folder / "start", 0)
    rows = list(teach(policy, config, folder / "checkpoint.pt", PartialState(cpu=True)))
    return policy, rows


@pytest.mark.slow
def test_an_interrupted_training_comes_to_the_same_weights(tmp_path):
    """Which holds only where training is a function of its settings."""
    whole, [row] = taught_to(tmp_path / "whole", settings())
    assert np.isfinite(row["loss"])
    config = settings()
    config.log_every = 3
    policy = untrained(tmp_path / "parts" / "start", 0)
    first = next(
        teach(policy, config, tmp_path / "parts" / "checkpoint.pt", PartialState(cpu=True))
    )
    assert first["step"] == 3
    again, rows = taught_to(tmp_path / "parts", config)
    assert [r["step"] for r in rows] == [6]
    assert rows[0]["tokens"] == row["tokens"]
    mine, theirs = whole.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


@pytest.mark.slow
def test_two_processes_make_what_one_makes(tmp_path):
    made = {}
    for number in (1, 2):
        out = tmp_path / str(number)
        launch = ["torchrun", "--nproc_per_node", str(number)]
        small = ["steps=3", "first_steps=1", "forms_from=2", "warmup=1", "log_every=3", "exam=1"]
        sizes = ["batch.first=4", "batch.sight=3", "batch.text=3", "batch.forms=1"]
        command = [*launch, "-m", "amft_mm.pretrain", *small, *sizes]
        command += ["exam_at_the_end=1", f"out={out}"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr[-2000:]
        made[number] = Policy.load(str(out), device="cpu").model.state_dict()
        assert (out / "README.md").exists()
        assert not (out / "checkpoint.pt").exists()
    for key in made[1]:  # what is stored is rounded to bfloat16: 8 bits
        assert torch.allclose(made[1][key], made[2][key], rtol=2e-2, atol=1e-4), key


def test_what_is_stored_loads_as_the_same_float32_numbers(tmp_path):
    policy = untrained(tmp_path, 0)
    store(policy, tmp_path)
    again = Policy.load(str(tmp_path), device="cpu")
    from transformers import AutoModelForImageTextToText

    plain = AutoModelForImageTextToText.from_pretrained(tmp_path)
    for mine, theirs, others in zip(
        policy.model.parameters(), again.model.parameters(), plain.parameters(), strict=True
    ):
        assert mine.dtype == theirs.dtype == others.dtype == torch.float32
        assert torch.equal(mine, theirs)
        assert torch.equal(mine, others)


def test_the_card_says_what_was_missed():
    found = dict.fromkeys(TARGETS, 0.5) | dict.fromkeys(AT_MOST, 0.05)
    card = model_card(2_000_000, {"steps": 1}, found, 100)
    assert card.count("**missed**") == len(TARGETS)
    assert "2.0 million" in card


SHIPPED = ROOT / "assets" / "tiny-vlm"


def test_the_model_in_the_box_is_as_its_card_says():
    """A few questions of each kind: far from the card's figure means other weights than measured."""
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 10_000_000
    claimed = json.loads((SHIPPED / "exam.json").read_text())
    card = (SHIPPED / "README.md").read_text()
    assert all(f"| {name} | {share:.1%} |" in card for name, share in claimed.items())
    assert {*QUESTIONS, *(f"success, {name}" for name in TASKS)} <= claimed.keys()
    policy = Policy.load("tiny", device="cpu")
    for name in ("one card", "four cards", "sums and products of two numbers"):
        rng = np.random.default_rng([1, *name.encode()])
        questions = [QUESTIONS[name](rng) for _ in range(40)]
        answers = ask(policy, [(text, image) for text, image, _ in questions])
        right = [is_right(a) for (_, _, is_right), a in zip(questions, answers, strict=True)]
        assert abs(np.mean(right) - claimed[name]) < 0.25, name


@pytest.mark.slow
def test_the_exam_of_the_model_in_the_box():
    """Every aim that the card claims to have reached is reached on fewer questions, within 3 sigma."""
    claimed = json.loads((SHIPPED / "exam.json").read_text())
    count = 60
    found = examine(Policy.load("tiny", device="cpu"), count)
    for name, share in claimed.items():
        noise = 3 * (max(share * (1 - share), 0.01) / count) ** 0.5
        assert abs(found[name] - share) < noise + 0.03, (name, found[name], share)
