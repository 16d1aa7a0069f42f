"""How the tiny VLM is made: exercises that are true, a repeatable training, an honest card."""

import json
import re
import subprocess
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from agents.policy import Policy
from amft_mm.pretrain import store, teach, untrained
from amft_mm.pretraining import exercises as taught
from amft_mm.pretraining import seeing
from amft_mm.pretraining.card import AT_MOST, TARGETS, model_card
from amft_mm.pretraining.exam import QUESTIONS, TASKS, answered, examine
from amft_mm.pretraining.optimizer import LOWEST, plateau
from amft_mm.pretraining.reckoning import derivation
from amft_mm.pretraining.stages import STAGES
from amft_mm.runs.processes import ProcessGroup
from envs.general_points.formula import read_formula
from envs.paths import data_folder
from envs.virl.city import COLOURS
from envs.virl.city_files import load_city

CONFIGS = str(data_folder("configs"))

ROOT = Path(__file__).parents[2]
KINDS = {
    **taught.ECHOES,
    **taught.SIGHT,
    **taught.RECKONING,
    **taught.NEAR_RECKONING,
    **taught.COPYING_TEXT,
    **taught.SHORT_TEXT,
    **taught.TEXT_FORMS,
    **taught.FORMS,
}


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


STATED = re.compile(
    r"(?<![\w(])(\(?-?\d+(?:/\d+\))?) ?([-+*/]) ?(\(?\d+(?:/\d+\))?) ?= ?(-?\d+(?:/\d+)?)"
)
FORMULA = re.compile(r"[\d(][\d()+*/-]*[-+*/][\d()+*/-]*[\d)]=-?\d+(?:/\d+)?")


def stated(text):
    """Every statement in a text, as what stands on its left comes to and what it says that it does."""
    found = []
    for a, sign, b, said in STATED.findall(text):
        a, b = Fraction(a.strip("()")), Fraction(b.strip("()"))
        value = {"+": a + b, "-": a - b, "*": a * b}[sign] if sign != "/" else a / b
        found.append((value, Fraction(said)))
    return found


@pytest.mark.parametrize("name", [*{**taught.RECKONING, **taught.NEAR_RECKONING}, "math_form"])
def test_what_is_stated_is_true(name):
    """A false sum in a thousand would be learnt as a fact."""
    count = 0
    for exercise in drawn(name, 400):
        for turn in exercise:
            if turn.text.endswith(" = ?"):
                turn = replace(turn, answer=turn.text[:-1] + turn.answer)
            for value, said in stated(turn.answer):
                assert value == said, turn.answer
                count += 1
    assert count > 50


@pytest.mark.parametrize(
    "name", ["derivations", "derivations_in_json", "formulas", "cards_form_in_words"]
)
def test_formulas_are_what_they_say(name):
    for exercise in drawn(name, 400):
        for turn in exercise:
            for formula in FORMULA.findall(turn.answer):
                left, right = formula.split("=")
                assert read_formula(left).value == Fraction(right), formula


def test_no_derivation_is_chosen_for_what_it_makes():
    """10,000 of them come to 24 no more often than to the numbers beside it."""
    rng = np.random.default_rng(0)
    hands = (rng.integers(1, 14, 4).tolist() for _ in range(10_000))
    made = Counter(derivation(rng, hand).value for hand in hands)
    assert made[24] < 1.5 * max(made[22], made[23], made[25], made[26])
    assert made[24] < 300


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
        for exercise in drawn(name, 25):
            for turn in exercise:
                assert not any(shop in turn.text + turn.answer for shop in unseen)


def test_forms_teach_no_policy():
    """What is to be done is drawn at random: seldom right, in any world."""
    actions, right = 0, 0
    for exercise in drawn("street_form", 60):
        feedback = [turn.text.split("\n")[0] for turn in exercise[1:]]
        actions += len(feedback)
        right += sum(text.startswith("Right.") for text in feedback)
    assert actions > 100
    assert right < 0.5 * actions
    hands = drawn("cards_form_in_words", 400)
    made = [
        turn.answer.count('=24"}') for hand in hands for turn in hand if '"thought"' in turn.answer
    ]
    assert len(made) > 300
    assert sum(made) < 0.06 * len(made)
    asked = [turn for [turn] in drawn("math_form", 10_000)]
    assert sum(_solves(turn) for turn in asked) < 0.03 * len(asked)
    lines = Counter()
    for exercise in drawn("short_street_form_in_words", 2000):
        count = exercise[0].text.count("\n") - 1
        lines.update(
            int(turn.answer.split("\n")[-1].split(":")[0]) / count
            for turn in exercise
            if count == 4
        )
    assert max(lines.values()) < 1.2 * min(lines.values()), "a line is named more often than others"


def _solves(turn):
    """Whether an answer to a question of Math is right."""
    boxed = turn.answer[turn.answer.index("{") + 1 : turn.answer.rindex("}")]
    if wanted := re.match(r"Make (\d+) from", turn.text):
        return read_formula(boxed).value == int(wanted[1])
    left = next(line for line in turn.text.split("\n") if line.endswith(" = ?"))
    terms = re.findall(r"[-+]?\d+", left.replace(" ", ""))
    return sum(map(int, terms)) == int(boxed)


def test_what_a_line_waits_for_is_judged_rightly():
    """Named by itself, so that comparing is learnt and not which line is the right one."""
    count = Counter()
    for exercise in drawn("short_street_form_in_words", 400):
        lines = exercise[0].text.split("\n")[1:-1]
        for turn in exercise:
            match = re.search(r"(\d+) until (.*): (reached|not reached)\.", turn.answer)
            if match is None:
                continue
            number, awaited, verdict = match.groups()
            assert lines[int(number) - 1] == f"{number}. Forward until {awaited}."
            where, _, landmark = awaited.partition(", ")
            seen = turn.text.rsplit("Here: ", 1)[1].rstrip(".").split("; ")
            there = [landmark in seen] if landmark else []
            there += ["intersection" in seen] if "intersection" in where else []
            assert verdict == ("reached" if there and all(there) else "not reached")
            count[verdict] += 1
    assert min(count.values()) > 50


def test_the_rate_does_not_depend_on_the_end_until_it_falls():
    """So that a run can be made longer or shorter while it goes."""
    rates = [plateau(step, 100, 10, 20) for step in range(1, 101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:80] == [1.0] * 71
    assert rates[-1] == pytest.approx(LOWEST)
    assert [plateau(step, 200, 10, 20) for step in range(1, 81)] == rates[:80]


BATCHES = {
    "seeing": "{scenes: 2}",
    "copying": "{echoes: 2}",
    "reading": "{reckoning: 1, text: 1, forms: 1}",
    "together": "{sight: 1, reckoning: 1, text: 1, forms: 1}",
    "settling": "{sight: 1, reckoning: 1, text: 1, forms: 1}",
}
assert BATCHES.keys() == STAGES.keys()  # else one is as long as it is in earnest
QUICK = ["warmup=2", "exam=1", "exam_at_the_end=1"]
for name, batch in BATCHES.items():
    QUICK += [f"{name}.steps=4", f"{name}.fall=2", f"{name}.batch={batch}"]


def settings(*changes):
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        return compose("pretrain", [*QUICK, *changes])


def taught_to(folder, config, stages=STAGES):
    policy, processes = untrained(folder, 0), ProcessGroup()
    rows = [row for name in stages for row in teach(policy, name, config, folder, processes)]
    return policy.model.state_dict(), rows


@pytest.mark.slow
def test_an_interrupted_training_comes_to_the_same_weights(tmp_path):
    """Which holds only where training is a function of its settings; stages that ran by
    themselves, each in a process that knew nothing of the other, are put together."""
    whole, rows = taught_to(tmp_path / "whole", settings("log_every=4"))
    assert [row["step"] for row in rows] == [4, 4, 4, 4, 4]
    assert all(np.isfinite(row["loss"]) for row in rows)
    config, folder = settings("log_every=2"), tmp_path / "parts"
    taught_to(folder, config, ["copying", "reading"])
    first = next(teach(untrained(folder, 0), "seeing", config, folder, ProcessGroup()))
    assert first["step"] == 2
    with pytest.raises(SystemExit, match="together comes after seeing"):
        taught_to(folder, config, ["together"])
    again, rows = taught_to(folder, config)
    assert [row["step"] for row in rows] == [4, 2, 4, 2, 4]
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_a_stage_trains_its_own_part(tmp_path):
    config = settings("log_every=4")
    config.seeing.steps = config.copying.steps = 1
    before = untrained(tmp_path, 0).model.state_dict()
    for stage, part in (("seeing", "visual"), ("copying", "language_model")):
        after, _ = taught_to(tmp_path / stage, config, [stage])
        changed = {key for key in after if not torch.equal(after[key], before[key])}
        assert changed
        assert all(f".{part}." in key or key == "lm_head.weight" for key in changed)


def test_scenes_say_what_is_where():
    """Labels at another place than the thing would teach nonsense."""
    for make in (seeing.signs_on_a_wall, seeing.street, seeing.cards):
        scenes = [make(np.random.default_rng(seed)) for seed in range(20)]
        assert any(scene.labels.any() for scene in scenes)
        for scene in scenes:
            height, width = scene.picture.shape[:2]
            assert scene.labels.shape[:2] == (height // seeing.TOKEN, width // seeing.TOKEN)
    rng = np.random.default_rng(0)
    for _ in range(20):
        scene = seeing.signs_on_a_wall(rng)
        for row, column in np.argwhere(scene.labels[..., 0] > 0):
            said = [seeing.LABELS[k] for k in np.flatnonzero(scene.labels[row, column])]
            assert len(said) == 4
            colour = np.array(COLOURS[said[1]])
            top, left = row * seeing.TOKEN, column * seeing.TOKEN
            token = scene.picture[top : top + seeing.TOKEN, left : left + seeing.TOKEN]
            assert (np.abs(token.astype(int) - colour).sum(-1) < 60).any(), said


def test_it_goes_on_from_a_model(tmp_path):
    """With another model's weights in place of the stages before; else it would begin at random ones."""
    store(untrained(tmp_path / "first", 1), tmp_path / "first")
    config = settings("log_every=4", f"start={tmp_path / 'first'}")
    config.together.steps = 1
    policy = Policy.load(config.start, device="cpu")
    before = {key: value.clone() for key, value in policy.model.state_dict().items()}
    list(teach(policy, "together", config, tmp_path / "second", ProcessGroup()))
    far = max(
        (value - before[key]).abs().max().item() for key, value in policy.model.state_dict().items()
    )
    assert 0 < far < 0.01


@pytest.mark.slow
def test_two_processes_make_what_one_makes(tmp_path):
    made = {}
    for number in (1, 2):
        out = tmp_path / str(number)
        launch = ["torchrun", "--nproc_per_node", str(number), "-m", "amft_mm.pretrain"]
        command = [*launch, *QUICK, "log_every=4", f"out={out}"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr[-2000:]
        made[number] = Policy.load(str(out), device="cpu").model.state_dict()
        assert (out / "README.md").exists()
        assert not list(out.glob("*.pt"))
    # Stored in bfloat16, 8 bits; and Adam's first steps are signs, which rounding may turn where a
    # gradient is nearly 0. Examples left out or counted twice would turn far more of them.
    one, two = (torch.cat([value.flatten() for value in made[n].values()]) for n in (1, 2))
    assert torch.isclose(one, two, rtol=2e-2, atol=1e-4).float().mean() > 0.99


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
    card = model_card(2_000_000, None, {"steps": 1}, found, 100)
    assert card.count("**missed**") == len(TARGETS)
    assert "2.0 million" in card


SHIPPED = ROOT / "assets" / "tiny-vlm"


def test_the_model_in_the_box_is_as_its_card_says():
    """A few questions of each kind: far from the card's figure means other weights than measured."""
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 10_000_000
    claimed = json.loads((SHIPPED / "exam.json").read_text())
    card = (SHIPPED / "README.md").read_text()
    assert all(f"| {name} | {share:.1%} |" in card for name, share in claimed.items())
    assert {f"success, {name}" for name in TASKS} <= claimed.keys()
    policy = Policy.load("tiny", device="cpu")
    for name in ("one card", "four cards", "sums and products of two numbers"):
        rng = np.random.default_rng([1, *name.encode()])
        right = answered(policy, [QUESTIONS[name](rng) for _ in range(40)])
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
