"""How the tiny VLM is made: exercises that are true, a repeatable training, an honest card."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.policy import Policy
from amft_mm.config.command_line import configuration
from amft_mm.config.composition import composition
from amft_mm.pretrain import pretrain, store, teach, untrained
from amft_mm.pretraining import exercises as taught
from amft_mm.pretraining import seeing
from amft_mm.pretraining.card import AT_MOST, TARGETS, model_card
from amft_mm.pretraining.checks import check_settings, chosen_stages, load_start
from amft_mm.pretraining.exam import QUESTIONS, TASKS, answered, episodes, played, small_skills
from amft_mm.pretraining.history import history, write_history
from amft_mm.pretraining.optimizer import LOWEST, plateau
from amft_mm.pretraining.stages import STAGES, Seeing
from amft_mm.runs.processes import ProcessGroup
from envs.virl.city import COLOURS
from envs.virl.city_files import load_city

ROOT = Path(__file__).parents[2]
KINDS = {
    **taught.ECHOES,
    **taught.SIGHT,
    **taught.RECKONING,
    **taught.NEAR_RECKONING,
    **taught.COPYING_TEXT,
    **taught.SHORT_TEXT,
    **taught.IN_SHORT,
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


@pytest.mark.parametrize("name", ["lines", "short_lines"])
def test_lines_are_right(name):
    for exercise in drawn(name, 60):
        listed = exercise[0].text.split("\n")[:-1]
        for turn in exercise:
            question = turn.text.split("\n")[-1]
            if question.startswith("Recite"):
                assert turn.answer == listed[int(question.split()[-1][:-1]) - 1]
            elif question.startswith("How many"):
                assert turn.answer == str(len(listed))
            elif question.startswith("Which line"):
                said = question.removeprefix("Which line says: ")
                assert listed[int(turn.answer) - 1] == f"{turn.answer}. {said}"
            else:
                at = int(question.split()[-1][:-1])
                assert turn.answer == (listed[at] if at < len(listed) else "The end.")


def test_lines_in_short_are_looked_up_and_not_chosen():
    """Each is what its line begins and ends with; which line is said follows nothing but what is asked."""
    own, spots = 0, []
    for exercise in drawn("in_short", 200):
        listed = exercise[0].text.split("\n")[1:-1]
        for turn in exercise:
            number, _, said = turn.answer.split("\n")[-1].partition(": ")
            words = listed[int(number) - 1].removesuffix(".").split()[1:]
            verb, *end = said.split()
            assert [verb, *end] == [words[0].lower(), *words[-len(end) :]], turn.answer
            asked = turn.text.split("\n")[-1]
            if asked.startswith("Line"):
                assert asked == f"Line {number} in short."
            else:
                own += 1
                spots.append(int(number) / len(listed))
    assert own > 400
    assert 0.5 < np.mean(spots) < 0.68  # of 3 to 8 lines, each as often


def test_the_unseen_combinations_are_never_taught():
    """Else the exam's figure for them would mean nothing."""
    unseen = {mark.name for mark in load_city("newyork").landmarks}
    pictures = {*taught.SIGHT, *taught.FORMS}  # which take long to draw
    for name in KINDS:
        for exercise in drawn(name, 10 if name in pictures else 25):
            for turn in exercise:
                assert not any(shop in turn.text + turn.answer for shop in unseen)


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
    return composition("pretrain", [*QUICK, *changes])


def taught_to(folder, config, stages=STAGES):
    policy, processes = untrained(folder, 0), ProcessGroup()
    rows = [row for name in stages for row in teach(policy, name, config, folder, processes)]
    return policy.model.state_dict(), rows


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The weights that all stages come to in one go, and what was told of them."""
    return taught_to(tmp_path_factory.mktemp("whole"), settings("log_every=4"))


@pytest.mark.slow
def test_an_interrupted_training_comes_to_the_same_weights(tmp_path, whole):
    """Which holds only where training is a function of its settings; stages that ran by
    themselves, each in a process that knew nothing of the other, are put together."""
    weights, rows = whole
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
    assert all(torch.equal(weights[key], again[key]) for key in weights)


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
def test_two_processes_make_what_one_makes(tmp_path, whole):
    """And the command finishes: weights, exam, history and card, and no checkpoint is left."""
    alone, _ = whole
    out = tmp_path / "two"
    launch = ["torchrun", "--nproc_per_node", "2", "-m", "amft_mm.pretrain"]
    command = [*launch, *QUICK, "log_every=4", f"out={out}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert {"README.md", "exam.json", "made.json"} <= {path.name for path in out.iterdir()}
    assert not list(out.glob("*.pt"))
    together = Policy.load(str(out), device="cpu").model.state_dict()
    one = torch.cat([value.to(torch.bfloat16).float().flatten() for value in alone.values()])
    two = torch.cat([together[key].flatten() for key in alone])
    # Stored in bfloat16, 8 bits; and the first steps are signs by Adam and directions by Muon, which
    # rounding may turn where a gradient is nearly 0. Examples left out or counted twice would turn far more.
    assert torch.isclose(one, two, rtol=2e-2, atol=1e-4).float().mean() > 0.98


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


def test_the_card_says_what_was_missed_and_how_the_weights_were_made(tmp_path):
    found = dict.fromkeys(TARGETS, 0.5) | dict.fromkeys(AT_MOST, 0.05)
    (start := tmp_path / "my-vlm").mkdir()
    (start / "config.json").write_text("{}")
    card = model_card(2_000_000, history(settings(f"start={start}")), found, 100)
    assert card.count("**missed**") == len(TARGETS)
    assert f"Of {len(found)} aims {len(TARGETS)} were missed: one card; " in card
    assert "2.0 million" in card
    assert "1. From the weights of my-vlm, of which it is not recorded" in card
    assert str(tmp_path) not in card
    assert "| settling | 4 | 0.001, falling in the last 2 | 3 | 1 sight, 1 reckoning," in card
    assert "| seeing |" not in card, "that stage is not made from a start"


def test_what_a_start_was_made_of_is_told(tmp_path):
    """Else a model that was gone on from would be said to come from nowhere."""
    write_history(tmp_path, history(settings("seed=7")))
    (tmp_path / "config.json").write_text("{}")
    made = history(settings(f"start={tmp_path}"))
    assert [(each["start"], each["seed"]) for each in made] == [(None, 7), (tmp_path.name, 0)]
    assert list(made[0]["stages"]) == list(STAGES)
    card = model_card(2_000_000, made, {}, 100)
    assert "1. From nothing; seed 7" in card
    assert f"2. From the weights of {tmp_path.name}; seed 0" in card
    assert "All 0 aims" in card


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("start=nothing", "start=nothing: no model there. Give tiny or tiny-random"),
        ("only=[nonsense]", "only='nonsense' is not one of 'seeing', 'copying'"),
        ("only=reading", "only=reading: give a list of names"),
        ("only=[]", "give a list of stages"),
        ("seeing.steps=-4", "seeing.steps=-4: give a whole number from 1 up"),
        ("seeing.steps=many", "seeing.steps=many: give a whole number from 1 up"),
        ("seeing.fall=5", "seeing.fall=5 is out of range: allowed are 0 to 4"),
        ("+reading.batch.cards=3", "of each of reckoning, text, forms, and of nothing else"),
        (
            "reading.batch={reckoning: 0, text: 0, forms: 0}",
            "at least one of them must be more than 0",
        ),
        ("reading.batch.text=-1", "reading.batch.text=-1: give a whole number from 0 up"),
        ("reading.batch=8", "reading.batch=8: give settings by their names"),
        ("together.lr=0", "together.lr=0: give a number above 0"),
        ("together.muon=-1", "together.muon=-1: give a number from 0 up"),
        ("clip=none", "clip=none: give a number above 0"),
        ("exam=0", "exam=0: give a whole number from 1 up"),
        ("seed=-1", "seed=-1: give a whole number from 0 up"),
    ],
)
def test_wrong_settings_are_told_before_hours_are_spent(given, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        check_settings(configuration("pretrain", [*QUICK, given]))


def test_the_settings_in_the_box_are_fine():
    for changes in ([], ["start=tiny"], ["only=[reading,copying]"]):
        check_settings(composition("pretrain", changes))
    assert chosen_stages(settings("only=[reading,copying]")) == ["copying", "reading"]


def test_stages_that_a_start_makes_idle_are_refused():
    with pytest.raises(
        ValueError, match=r"only=\[copying\]: with start=tiny there are only together and"
    ):
        check_settings(settings("start=tiny", "only=[copying]"))


def test_a_start_that_is_built_otherwise_is_refused(family_folders):
    """Else the run would end in a traceback, or in a card that speaks of another model."""
    for family, told in (
        ("qwen2", "family qwen2, not"),
        ("qwen2_5_vl", "eye's patch_size 14, not 7"),
    ):
        with pytest.raises(ValueError, match=f"is not built as the tiny model is: .*{told}"):
            load_start(str(family_folders[family]))
    load_start("tiny")


def test_checkpoints_of_another_model_are_refused(tmp_path):
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "copying.checkpoint.pt")
    with pytest.raises(
        SystemExit, match=r"copying\.checkpoint\.pt is of a model that is built otherwise"
    ):
        taught_to(tmp_path, settings(), ["copying"])


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK"])
def test_checkpoints_that_are_spoilt_are_told_with_their_file(tmp_path, content):
    """Defect: a traceback of pickle's, or PyTorch's guess at the cause without the file's name."""
    (tmp_path / "copying.checkpoint.pt").write_bytes(content)
    for stage in ("copying", "reading"):
        with pytest.raises(SystemExit, match=r"copying\.checkpoint\.pt cannot be read .*delete it"):
            taught_to(tmp_path, settings(), [stage])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("copying.muon=0", "muon 3.0, not 0"),
        ("seed=1", "seed 0, not 1"),
        ("weight_decay=0.1", "weight_decay 0.02, not 0.1"),
        ("start=tiny", "start None, not tiny"),
        ("copying.batch.echoes=7", "batch .*, not .*7"),
        ("copying.fall=3", "fall 0, not 3"),  # step 2 of 4 would have had another learning rate
    ],
)
def test_a_stage_that_goes_on_with_other_settings_is_refused(tmp_path, change, told):
    """Defect: the card told of the later ones alone, and weights of two seeds, or of nothing, were said to be
    of one seed, or of a start."""
    taught_to(tmp_path, settings("copying.steps=2", "copying.fall=0"), ["copying"])
    with pytest.raises(SystemExit, match=f"was begun with other settings .*{told}"):
        taught_to(tmp_path, settings(change), ["copying"])


def test_a_stage_is_not_made_shorter_than_it_is(tmp_path):
    """Defect: ZeroDivisionError."""
    taught_to(tmp_path, settings("copying.steps=2", "copying.fall=0"), ["copying"])
    with pytest.raises(SystemExit, match="has made 2 steps, and 1 are asked for"):
        taught_to(tmp_path, settings("copying.steps=1", "copying.fall=0"), ["copying"])


def test_a_stage_may_be_made_longer_while_its_learning_rate_is_level(tmp_path):
    taught_to(tmp_path, settings("copying.steps=2", "copying.fall=0"), ["copying"])
    _, rows = taught_to(tmp_path, settings("copying.steps=6", "copying.fall=3"), ["copying"])
    assert rows[-1]["step"] == 6


def test_a_process_without_a_scene_waits_for_the_others(tiny):
    """Defect: it died where there were fewer scenes than processes, and the others waited."""
    loss, pieces = Seeing(tiny).learn([], ProcessGroup())
    assert (loss, pieces) == (0.0, 0)


def test_what_is_wrong_is_said_in_a_sentence(tmp_path):
    wrong = settings()
    wrong.start, wrong.out = "nothing", str(tmp_path / "out")
    with pytest.raises(SystemExit, match=r"^pretrain: start=nothing: no model there"):
        pretrain(wrong)


SHIPPED = ROOT / "assets" / "tiny-vlm"


def test_the_model_in_the_box_is_as_its_card_says():
    """A few questions of each kind: far from the card's figure means other weights than measured."""
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 10_000_000
    claimed = json.loads((SHIPPED / "exam.json").read_text())
    card = (SHIPPED / "README.md").read_text()
    assert all(f"| {name} | {100 * share:.4g}% |" in card for name, share in claimed.items())
    assert {f"success, {name}" for name in TASKS} <= claimed.keys()
    policy = Policy.load("tiny", device="cpu")
    for name in ("one card", "four cards", "sums and products of two numbers"):
        rng = np.random.default_rng([1, *name.encode()])
        right = answered(policy, [QUESTIONS[name](rng) for _ in range(40)])
        assert abs(np.mean(right) - claimed[name]) < 0.25, name


@pytest.mark.slow
def test_the_exam_of_the_model_in_the_box():
    """What the card claims is found again on fewer questions and episodes, within 3 sigma."""
    claimed = json.loads((SHIPPED / "exam.json").read_text())
    policy, count = Policy.load("tiny", device="cpu"), 32
    found = small_skills(policy, count)
    for name, world in TASKS.items():
        found |= played(policy, name, world, count // 2)
    for name in found.keys() & claimed.keys():
        share = claimed[name]
        noise = 3 * (max(share * (1 - share), 0.01) / count) ** 0.5
        assert abs(found[name] - share) < noise + 0.03, (name, found[name], share)


@pytest.mark.slow
def test_few_demonstrations_give_a_form():
    """Else a warm-up would have to be long before anything can be explored."""
    policy, math = Policy.load("tiny", device="cpu"), TASKS["math"]
    derivations = replace(math, options={**math.options, "thought": "steps"})  # a search is a skill
    found = episodes(policy, "math", derivations, 40)
    assert found["form after 32 demonstrations, math"] > 0.9
