"""`python -m amft_mm.demos`: what is written, going on after a stop, filters, spoiling on purpose."""

import json
import sys

import gymnasium
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from omegaconf import OmegaConf

import amft_mm.demos as module
import envs
from agents.demonstrations import Demonstration, Demonstrations, write_part
from agents.experts import BadEpisode
from agents.policy import Policy
from agents.worlds import World
from amft_mm.config.command_line import configuration
from amft_mm.config.fields import SettingError
from amft_mm.demos import State, demos, make_demos
from envs import EndedBy, Outcome, Scene
from tests import started

GP = {"name": "gp", "id": "amft/GeneralPoints-v0", "size": [112, 112], "split": "train"}
VIRL = {"name": "virl", "id": "amft/VIRL-v0", "size": [112, 112]}
MATH = {"name": "math", "id": "amft/Math-v0"}


def settings(env, out, **changes):
    base = {
        "env": env,
        "n": 6,
        "seed": 0,
        "out": str(out),
        "part": 4,
        "seconds": 60,
        "keep": {"success": True, "min_return": None, "max_turns": None},
        "slips": 0.0,
        "corrupt": {"share": 0.0, "kind": "wrong_actions"},
        "import_from": None,
        "engine": None,
        "pictures": None,
    }
    return OmegaConf.merge(base, changes)


def made(env, out, **changes):
    counts = make_demos(settings(env, out, **changes))
    return counts, Demonstrations(out)


def same(a, b):
    keys = ("messages", "answers", "picture_of", "seed", "corrupted")
    return all(getattr(a, key) == getattr(b, key) for key in keys) and all(
        np.array_equal(x, y) for x, y in zip(a.pictures, b.pictures, strict=True)
    )


def test_what_is_written_replays_in_the_world_to_the_pixel(tmp_path):
    counts, rows = made(VIRL, tmp_path / "d")
    assert counts["kept"] == len(rows) == 6
    row = rows[3]
    env = World(row.world, json.loads(row.options)).make()
    observation, info = env.reset(seed=row.seed)
    for (message, answer), reward, verdict in zip(
        row.turns(), row.rewards, row.verdicts, strict=True
    ):
        assert observation["text"] == message.text
        assert bool(message.images) == info["new_image"]
        for picture in message.images:
            assert np.array_equal(observation["image"], picture)
        observation, given, *_, info = env.step(answer)
        assert given == reward
        assert info["verdict"] == verdict
    assert info["success"] is row.success is True
    assert info["ended_by"] == row.stop


def test_datasets_opens_the_folder_with_its_pictures(tmp_path):
    from datasets import load_dataset

    _, rows = made(GP, tmp_path / "d")
    opened = load_dataset(str(tmp_path / "d"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(opened) == 6
    assert np.array_equal(np.asarray(opened[2]["pictures"][0]), rows[2].pictures[0])
    assert opened[2]["answers"] == rows[2].answers
    card = (tmp_path / "d" / "README.md").read_text()
    assert all(f"`{column}`" in card for column in opened.column_names)


def test_an_interrupted_run_goes_on_and_comes_to_the_same(tmp_path, monkeypatch):
    _, whole = made(GP, tmp_path / "whole", n=10)
    write, calls = module.write_part, []

    def dies_at_the_second(folder, number, rows):
        calls.append(number)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(folder, number, rows)

    monkeypatch.setattr(module, "write_part", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        made(GP, tmp_path / "parts", n=10)
    monkeypatch.setattr(module, "write_part", write)
    counts, parts = made(GP, tmp_path / "parts", n=10)
    assert counts["kept"] == len(parts) == 10
    assert all(same(a, b) for a, b in zip(whole, parts, strict=True))


def test_a_first_part_whose_progress_could_not_be_written_is_in_nobody_s_way(tmp_path, monkeypatch):
    """Defect: the same command then took it for other data, and so did a training run for its own folder."""
    write = module.write_text

    def full(path, text):
        if path.name == "progress.json" and list(path.parent.glob("data/*")):
            raise OSError(28, "No space left on device")
        write(path, text)

    monkeypatch.setattr(module, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        made(GP, tmp_path / "d")
    monkeypatch.undo()
    counts, rows = made(GP, tmp_path / "d", n=5, seed=1)
    assert counts["kept"] == len(rows) == 5


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"settings": []}'])
def test_progress_that_is_spoilt_is_told_with_its_file(tmp_path, text):
    """Defect: a traceback, or what JSON expected, without the file's name."""
    made(GP, tmp_path / "d")
    (tmp_path / "d" / "progress.json").write_text(text)
    with pytest.raises(ValueError, match=r"progress\.json cannot be read .*: delete"):
        made(GP, tmp_path / "d")


def test_a_folder_of_other_settings_is_not_mixed_up(tmp_path):
    made(GP, tmp_path / "d")
    with pytest.raises(FileExistsError, match="seed differ"):
        made(GP, tmp_path / "d", seed=1)
    counts, rows = made(GP, tmp_path / "d", n=9)  # more of the same is welcome
    assert counts["kept"] == len(rows) == 9
    assert len({row.name for row in rows}) == 9
    with pytest.raises(FileExistsError, match="holds 9 demonstrations already, more than n=4"):
        made(GP, tmp_path / "d", n=4)


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        ({"answers": []}, "1 messages, and 0 answers"),
        ({"answers": [None]}, "a message or an answer is null"),
        ({"picture_of": [3]}, "picture_of has 3"),
        ({"tools": "{"}, "property name"),
        ({"slips": None}, "slips null"),
    ],
)
def test_columns_that_do_not_go_together_are_told_with_file_and_row(tmp_path, spoilt, words):
    """Defect: a run ended by "zip() argument 2 is shorter than argument 1", whenever that row's turn came."""
    write_part(tmp_path, 0, [Demonstration("a", ["?"], ["!"])] * 2)
    (path,) = tmp_path.glob("data/*.parquet")
    rows = parquet.read_table(path).to_pylist()
    rows[1] |= spoilt
    parquet.write_table(pa.Table.from_pylist(rows), path)
    assert Demonstrations(tmp_path)[0].answers == ["!"]
    with pytest.raises(ValueError, match=rf"part-00000.parquet, row 1 .*{words}"):
        Demonstrations(tmp_path)[1]


def test_how_long_a_call_may_take_is_not_of_what_is_made(tmp_path):
    """Defect: resume=true play.seconds=N ended by demonstrations "with other settings", though how episodes
    are played may be given anew."""
    made(GP, tmp_path / "d")
    assert made(GP, tmp_path / "d", seconds=30)[0]["kept"] == 6


@pytest.mark.parametrize("env", [GP, VIRL, MATH], ids=lambda env: env["name"])
def test_wrong_actions_are_wrong_and_all_else_is_kept(tmp_path, env):
    _, clean = made(env, tmp_path / "clean")
    counts, bad = made(env, tmp_path / "bad", corrupt={"share": 1.0, "kind": "wrong_actions"})
    assert counts["corrupted"] == {"wrong_actions": 6}
    for a, b in zip(clean, bad, strict=True):
        assert a.messages == b.messages
        assert len(a.answers) == len(b.answers)
        assert all(x != y for x, y in zip(a.answers, b.answers, strict=True))
        world = World(a.world, json.loads(a.options)).make()
        world.reset(seed=a.seed)
        assert world.step(b.answers[0])[4]["verdict"] in (
            "wrong_action",
            "wrong_instruction",
            "wrong_value",
            "wrong_answer",
        )
    if env is VIRL:
        for a, b in zip(clean, bad, strict=True):
            right, wrong = json.loads(a.answers[0]), json.loads(b.answers[0])
            assert right["action"] != wrong["action"]
            assert right["current observation"] == wrong["current observation"]


def test_other_ways_to_spoil(tmp_path):
    _, clean = made(VIRL, tmp_path / "clean")
    _, said = made(VIRL, tmp_path / "said", corrupt={"share": 1.0, "kind": "wrong_answers"})
    _, seen = made(VIRL, tmp_path / "seen", corrupt={"share": 1.0, "kind": "shuffled_pictures"})
    for a, b, c in zip(clean, said, seen, strict=True):
        assert a.messages == b.messages == c.messages
        assert a.answers == c.answers != b.answers
        assert len(a.pictures) == len(c.pictures)
        assert any(not np.array_equal(x, y) for x, y in zip(a.pictures, c.pictures, strict=True))


def test_shares_are_nested_and_about_right(tmp_path):
    spoilt = {}
    for share in (0.25, 0.5):
        corrupt = {"share": share, "kind": "wrong_actions"}
        _, rows = made(MATH, tmp_path / str(share), n=80, part=80, corrupt=corrupt)
        spoilt[share] = {row.seed for row in rows if row.corrupted}
    assert spoilt[0.25] < spoilt[0.5]
    assert 10 <= len(spoilt[0.25]) <= 32
    assert 26 <= len(spoilt[0.5]) <= 54


def test_filters_count_what_they_leave_out(tmp_path):
    counts, rows = made(VIRL, tmp_path / "d", keep={"max_turns": 8})
    assert all(len(row.answers) <= 8 for row in rows)
    assert counts["left_out"]["more than 8 turns"] == counts["tried"] - 6 > 0


def test_a_filter_that_keeps_nothing_ends_with_a_reason(tmp_path):
    with pytest.raises(ValueError, match="return below 99"):
        made(MATH, tmp_path / "d", keep={"min_return": 99})


def test_each_part_is_given_up_by_its_own_episodes_alone(monkeypatch):
    """Defect: what earlier parts left out counted too, so a model that succeeds in one of ten was given up at
    the second part's first failure; and episodes that were filtered were no episodes."""
    monkeypatch.setattr(module, "MOST_IN_VAIN", 30)
    good, bad = Demonstration("a", [], [], success=True), Demonstration("b", [], [], success=False)
    rows = iter([*[bad] * 9, good] * 8)
    state = State({})
    config = OmegaConf.create({"keep": {"success": True, "min_return": None, "max_turns": None}})
    for _ in range(2):
        assert len(list(module.kept_rows(config, rows, state, 4))) == 4
    with pytest.raises(ValueError, match="keeps nothing of 30 episodes: no success"):
        list(module.kept_rows(config, iter([bad] * 99), state, 4))
    failing = iter([*[bad, BadEpisode("hang")] * 20, *[BadEpisode("hang")] * 9])
    monkeypatch.setattr(module, "MOST_IN_VAIN", 500)
    with pytest.raises(ValueError, match="21 of 41 episodes failed"):
        list(module.kept_rows(config, failing, state, 4))


def test_mistakes_without_pictures_can_not_be_of_pictures(tmp_path):
    with pytest.raises(ValueError, match="shows none"):
        made(MATH, tmp_path / "d", corrupt={"share": 1.0, "kind": "shuffled_pictures"})


def test_a_world_without_an_expert_is_said_so(tmp_path):
    env = {"name": "cart", "id": "CartPole-v1"}
    with pytest.raises(ValueError, match=r"no expert"):
        made(env, tmp_path / "d")


class Riddle(envs.World):
    """Without an expert, as most worlds begin."""

    verdicts = EndedBy

    def begin(self, rng, options):
        return Scene("What is it?")

    def respond(self, text):
        return Outcome(EndedBy.FAILURE, 0.0, Scene("No."), ended_by=EndedBy.FAILURE)


class Slow(Riddle):
    def expert(self):
        return ["It", "is"][2]


def test_a_world_of_ones_own_without_a_working_expert_is_told_what_to_do(tmp_path):
    """Defect: "20 of 20 episodes failed; failed: Riddle has no expert", and nothing of what to do instead, or
    of where an expert's own mistake is to be seen."""
    for kind in (Riddle, Slow):
        gymnasium.register(f"tests/{kind.__name__}-v0", kind)
    try:
        with pytest.raises(
            ValueError, match=r"Riddle has no expert: let a model play .*demos\.n=0"
        ):
            made({"name": "riddle", "id": "tests/Riddle-v0"}, tmp_path / "riddle")
        with pytest.raises(ValueError, match=r"IndexError: .*`amft-mm play WORLD --expert`"):
            made({"name": "slow", "id": "tests/Slow-v0"}, tmp_path / "slow")
    finally:
        for kind in (Riddle, Slow):
            gymnasium.registry.pop(f"tests/{kind.__name__}-v0")


def test_a_file_without_chats_is_told_as_such(tmp_path):
    """Defect: "no row could be taken: {}; left_out.jsonl names each", of an empty file; and a folder was said
    not to be there."""
    (tmp_path / "none.json").write_text("[]")
    for name, told in (
        ("none.json", r"none\.json holds no chat"),
        ("", "is no file that is there"),
    ):
        with pytest.raises((ValueError, OSError), match=told):
            module.import_demos(settings(MATH, tmp_path / "d", import_from=str(tmp_path / name)))


def test_batches_show_each_once_before_any_twice_and_depend_on_seed_and_step(tmp_path):
    _, rows = made(MATH, tmp_path / "d", n=7, part=3)
    first_round = [row.seed for step in range(2) for row in rows.batch(0, step, 4)][:7]
    assert len(set(first_round)) == 7
    again = [row.seed for row in rows.batch(0, 1, 4)]
    assert again == [row.seed for row in Demonstrations(tmp_path / "d").batch(0, 1, 4)]
    assert [r.seed for r in rows.batch(0, 0, 7)] != [r.seed for r in rows.batch(0, 1, 7)]
    assert [r.seed for r in rows.batch(0, 0, 7)] != [r.seed for r in rows.batch(1, 0, 7)]


def test_a_demonstration_becomes_the_models_conversation(tmp_path, tiny):
    from agents.conversation import Limits

    _, rows = made(VIRL, tmp_path / "d", n=2)
    conversation = rows[0].conversation(tiny)
    assert [a.text for a in conversation.answers] == rows[0].answers
    assert len(conversation.images) == len(rows[0].pictures)
    short = rows[0].conversation(tiny, Limits(max_tokens=400, max_new_tokens=1))
    assert short.stopped == "out_of_tokens"
    assert 0 < len(short.answers) < len(conversation.answers)
    assert short.ids == conversation.ids[: len(short.ids)]


@pytest.mark.parametrize(
    "words",
    [
        *(["env=virl"], ["env=math"], ["env=general_points"], ["env=sokoban"]),
        *(["env=virl", "model=qwen2_5_vl_3b"], ["env=math", "model.name=some/folder"]),
        ["env=math", "model=smollm2"],
    ],
    ids=" ".join,
)
def test_the_command_writes_what_a_run_of_the_same_words_would_record(words):
    """Defect: a recipe was training's alone, so that the command wrote streets in JSON, and a run on them
    played short answers."""
    run, own = configuration("train", words), configuration("demos", words)
    assert own.env == run.env
    assert (own.n, own.slips) == (run.demos.n, run.demos.slips)
    assert own.limits.max_new_tokens == run.limits.max_new_tokens


def test_words_say_more_than_the_recipe_and_what_it_says_of_training_is_no_setting():
    own = configuration("demos", ["env=general_points", "n=3", "slips=0.1", "env.thought=none"])
    assert (own.n, own.slips, own.env.thought) == (3, 0.1, "none")
    assert configuration("demos", ["env=math", "~recipe"]).n == 512
    asked = ["env=general_points", "engine=openai", "engine.model=m"]
    assert configuration("demos", asked).slips == 0  # a model makes its own
    with pytest.raises(SettingError, match=r"train\.steps: there is no such setting"):
        configuration("demos", ["env=virl", "train.steps=3"])
    with pytest.raises(SettingError, match=r"Did you mean n\?"):
        configuration("demos", ["env=virl", "demos.n=3"])


def test_of_a_file_all_chats_are_taken_but_for_those_that_words_leave_out(tmp_path):
    """Defect: `n` and `keep` did nothing, and nothing was said."""
    turns = [{"from": "human", "value": "1 + 1?"}, {"from": "gpt", "value": "2"}]
    rows = [{"conversations": turns * length} for length in (1, 2, 1, 1)]
    (tmp_path / "chats.json").write_text(json.dumps([*rows[:1], "none", *rows[1:]]))

    def taken(out, *words):
        given = [f"import_from={tmp_path}/chats.json", f"out={tmp_path}/{out}", *words]
        demos(configuration("demos", given))
        lines = (tmp_path / out / "left_out.jsonl").read_text().splitlines()
        return len(Demonstrations(tmp_path / out)), [json.loads(line)["row"] for line in lines]

    assert taken("all") == (4, [1])
    assert taken("first", "n=2") == (2, [1])
    assert taken("short", "keep.max_turns=1") == (3, [1, 2])


def test_a_mix_is_made_of_the_demonstrations_of_each():
    with pytest.raises(ValueError, match=r"env=virl out=FOLDER/virl and env=general_points"):
        demos(configuration("demos", ["env=mix"]))


def test_an_empty_folder_says_how_to_fill_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"amft_mm\.demos"):
        Demonstrations(tmp_path)


@pytest.mark.slow
def test_the_command(tmp_path):
    command = [sys.executable, "-m", "amft_mm.demos"]
    chosen = ["env=math", "n=5", f"out={tmp_path}/d"]
    done = started.run([*command, *chosen])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kept"] == 5
    refused = started.run([*command, *chosen, "corrupt.kind=wrong_action"])
    assert refused.returncode == 1
    assert "corrupt.kind=wrong_action: give wrong_actions, wrong_answers" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("env", [GP, VIRL])
def test_slips_are_shown_mended_and_not_imitated(tmp_path, env):
    """An agent that has only seen an expert succeed does not know what to do after a mistake."""
    counts, rows = made(env, tmp_path / "d", slips=0.5)
    assert counts["kept"] == 6  # a slip costs an attempt, not the episode
    policy = Policy.load("tiny-random", device="cpu")
    for row in rows:
        conversation = row.conversation(policy)
        wrong = [n for n, reward in enumerate(row.rewards) if reward < 0]
        assert wrong == row.slips
        assert not any(n + 1 in row.slips for n in row.slips)
        chosen = conversation.chosen()
        for number, answer in enumerate(conversation.answers):
            learnt = number not in row.slips
            assert (chosen[answer.start : answer.stop] == learnt).all()
    assert any(row.slips for row in rows)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_slips_without_a_second_try_are_told(tmp_path, share):
    """Defect: with one answer a question all episodes with a slip were left out, without a word."""
    with pytest.raises(ValueError, match=r"none mended it.*env\.attempts=2"):
        made(MATH, tmp_path / "d", n=40, part=40, slips=share)
