"""The training command from end to end: what it writes, that it goes on, what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from amft_mm.config.command_line import configuration
from amft_mm.config.settings import dealt
from amft_mm.data.rollouts import with_wrong_rewards
from amft_mm.data.sources import Sources
from amft_mm.runs.trackers import wandb_mode
from amft_mm.train import train
from tests import started
from tests.amft_mm import processes
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
TINY = [
    "model.name=tiny-random",
    "threads=1",
    "demos.n=6",
    "train.warmup_steps=2",
    "train.steps=3",
    "train.warmup_demos=2",
    "train.demos=2",
    "train.tasks=2",
    "train.group=2",
    "eval.every=2",
    "eval.episodes=2",
    "checkpoint.every=2",
    "limits.max_new_tokens=8",
    "limits.max_turns=2",
]


def command(*settings, module="amft_mm.train", base=TINY):
    return [sys.executable, "-m", module, *base, *settings]


def run(folder, *settings, launch=(), **which):
    words = [*launch, *command(*settings, **which)[1 if launch else 0 :]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    if not launch:
        return started.run(words, cwd=folder, env=environment)
    return subprocess.run(
        words, cwd=folder, capture_output=True, text=True, timeout=600, env=environment
    )


def rows(folder):
    """Without what the machine said."""
    return processes.rows(folder)


@pytest.mark.slow
@pytest.mark.parametrize("env", ["virl", "general_points", "math"])
def test_every_world_trains_into_its_folder(tmp_path, env):
    done = run(tmp_path, f"env={env}", "out=here")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "here"
    steps = [row for row in rows(folder) if row["phase"] != "evaluation"]
    assert [row["phase"] for row in steps] == ["warmup"] * 2 + ["mix"] * 3
    assert all(row["loss/imitation"] > 0 for row in steps)
    assert steps[-1]["rollout/ratio_error"] < 1e-4
    summary = json.loads((folder / "summary.json").read_text())
    assert all(f"eval/{split}/success" in summary for split in summary["splits"])
    assert (folder / "model" / "model.safetensors").exists()
    kept = {path.stem for path in (folder / "episodes").iterdir()}
    assert {f"000003-rollout-{env}", "000005-evaluation-id"} <= kept
    assert (folder / "curves.png").stat().st_size > 10_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]  # nothing elsewhere


@pytest.mark.slow
def test_worlds_of_pictures_and_of_text_train_together(tmp_path):
    done = run(tmp_path, "env=mix", "env.shares.general_points=0", "out=here")
    assert done.returncode == 0, done.stderr
    told = rows(tmp_path / "here")
    assert any("rollout/virl/success" in row and "rollout/math/success" in row for row in told)
    assert {"eval/virl/ood_city/success", "eval/math/id/success"} <= told[-1].keys()
    assert not any("general_points" in key for key in told[-1])
    wrong = run(tmp_path, "env=mix", "+env.shares.chess=1", "out=there")
    assert "give each of virl, general_points, math a share" in wrong.stderr


@given(st.integers(1, 40), st.lists(st.floats(0.05, 1), min_size=1, max_size=4))
def test_shares_are_kept_over_many_steps(count, sizes):
    shares = [size / sum(sizes) for size in sizes]
    steps = [dealt(count, shares, step) for step in range(200)]
    assert all(sum(step) == count for step in steps)
    for share, mean in zip(shares, np.mean(steps, axis=0) / count, strict=True):
        assert mean == pytest.approx(share, abs=0.03)


@pytest.mark.slow
def test_a_run_is_never_written_over(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "config.yaml").write_text("seed: 1\n")
    of_something_else = run(tmp_path, "env=math", "out=here")
    assert "is of something else" in of_something_else.stderr
    (tmp_path / "here" / "metrics.jsonl").write_text("{}\n")
    refused = run(tmp_path, "env=math", "out=here")
    assert refused.returncode != 0
    assert "already holds a run" in refused.stderr
    refused = run(tmp_path, "env=math", "out=here", "resume=true")
    assert "no run's configuration" in refused.stderr
    assert (tmp_path / "here" / "config.yaml").read_text() == "seed: 1\n"


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_numbers(tmp_path):
    """To the bit: weights, optimizer, controller, scales and random states all come back."""
    more = ["env=math", "train.steps=8"]
    assert run(tmp_path, *more, "out=whole").returncode == 0
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    killed = subprocess.Popen(
        command(*more, "out=parts"), cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL
    )
    wait_until((tmp_path / "parts" / "checkpoints" / "step_000004").exists, killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    again = run(tmp_path, *more, "out=parts", "resume=true")
    assert again.returncode == 0, again.stderr
    assert "going on after step" in again.stdout
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")


@pytest.mark.slow
def test_a_warm_up_can_be_shared(tmp_path):
    """Weights and optimizer are taken over: what follows is what would have followed, to the bit."""
    assert run(tmp_path, "env=math", "out=whole", "eval.every=0").returncode == 0
    warm = run(tmp_path, "env=math", "out=warm", "eval.every=0", "train.steps=0")
    assert warm.returncode == 0, warm.stderr
    more = ["env=math", "eval.every=0", "train.warm_from=warm"]
    assert run(tmp_path, *more, "out=after").returncode == 0
    mixed = [row for row in rows(tmp_path / "whole") if row["phase"] != "warmup"]
    assert rows(tmp_path / "after") == mixed
    wrong = run(tmp_path, *more, "train.warmup_steps=7", "out=there")
    assert wrong.returncode != 0
    assert "there: step_000002" in wrong.stderr


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    """The same global batch gives the same update, whoever plays which task instance."""
    metrics = {}
    for number in (1, 2):
        launch = ["torchrun", "--standalone", "--nproc_per_node", str(number)]
        done = run(tmp_path, "env=math", f"out=run{number}", launch=launch)
        assert done.returncode == 0, done.stderr
        metrics[number] = rows(tmp_path / f"run{number}")
    assert len(metrics[1]) == len(metrics[2])
    for one, two in zip(metrics[1], metrics[2], strict=True):
        assert one.keys() == two.keys()
        for key, value in one.items():
            if key == "rollout/ratio_error":
                continue
            if isinstance(value, float):
                assert two[key] == pytest.approx(value, rel=2e-3, abs=2e-5), key
            else:
                assert two[key] == value, key


def test_the_last_good_checkpoint_survives_a_full_disk(tmp_path, monkeypatch):
    from amft_mm.runs import checkpoints

    writer = checkpoints.Writer(tmp_path, keep=2)
    weights = {"w": torch.ones(3)}
    writer.save(1, {"step": 1, "model": weights})
    writer.wait()

    def full(*arguments, **settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save", full)
    writer.save(2, {"step": 2, "model": weights})
    with pytest.raises(checkpoints.CheckpointError, match="No space left"):
        writer.wait()
    monkeypatch.undo()
    newest = checkpoints.latest(tmp_path)
    assert newest is not None
    assert checkpoints.load(newest)["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step_000001"]


def test_the_newest_checkpoint_is_that_of_the_last_step_after_a_million_too(tmp_path):
    from amft_mm.runs import checkpoints

    writer = checkpoints.Writer(tmp_path, keep=2)
    for step in (999_998, 999_999, 1_000_000):
        writer.save(step, {"step": step, "model": {"w": torch.ones(1)}})
        writer.wait()
    assert checkpoints.latest(tmp_path) == tmp_path / "step_1000000"
    assert checkpoints.names(tmp_path) == "step_999999, step_1000000"


def test_the_newest_and_the_best_checkpoints_are_kept(tmp_path):
    from amft_mm.runs import checkpoints

    writer = checkpoints.Writer(tmp_path, keep=2)
    for step, score in ((1, 0.2), (2, 0.9), (3, 0.5), (4, 0.1), (5, 0.3)):
        checkpoints.mark_best(tmp_path, step, score)
        writer.save(step, {"step": step, "model": {"w": torch.ones(2)}})
        writer.wait()
    kept = sorted(path.name for path in tmp_path.glob("step_*"))
    assert kept == ["step_000002", "step_000004", "step_000005"]
    assert checkpoints.best(tmp_path) == {"step": 2, "score": 0.9, "by": ""}


def test_what_a_kill_left_half_written_is_no_checkpoint(tmp_path):
    """Defect: it was kept in the place of whole ones, and remained the best one for ever."""
    from amft_mm.runs import checkpoints

    checkpoints.path_of(tmp_path, 40).mkdir()
    checkpoints.mark_best(tmp_path, 40, 0.9)
    writer = checkpoints.Writer(tmp_path, keep=1)
    writer.save(30, {"step": 30, "model": {"w": torch.ones(2)}})
    writer.wait()
    assert checkpoints.names(tmp_path) == "step_000030"
    checkpoints.forget_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step_000030"]
    assert checkpoints.best(tmp_path) is None


def test_a_copy_that_was_kept_beside_checkpoints_is_none(tmp_path):
    """Defect: `cp -r step_000001 step_000001_good` made a run go on from it, and forget what came later."""
    from amft_mm.runs import checkpoints

    writer = checkpoints.Writer(tmp_path, keep=2)
    for step in (1, 2):
        writer.save(step, {"step": step, "model": {"w": torch.ones(1)}})
        writer.wait()
    kept = tmp_path / "step_000001_good"
    shutil.copytree(tmp_path / "step_000001", kept)
    (tmp_path / "step_notes").mkdir()
    assert checkpoints.latest(tmp_path) == tmp_path / "step_000002"
    assert checkpoints.names(tmp_path) == "step_000001, step_000002"
    checkpoints.forget_unfinished(tmp_path)
    assert kept.exists()
    assert (tmp_path / "step_notes").exists()


def _goes_on_with_its_own_luck(folder):
    from amft_mm.runs import checkpoints
    from amft_mm.runs.processes import ProcessGroup

    group = ProcessGroup()
    torch.manual_seed(group.rank)
    writer = checkpoints.Writer(folder, keep=1, processes=group)
    writer.save(1, {"step": 1, "model": {"w": torch.ones(2)}})
    writer.wait()
    next_ones = torch.rand(3)
    group.wait()
    checkpoints.load(checkpoints.path_of(folder, 1), rank=group.rank)
    assert torch.equal(torch.rand(3), next_ones)


def test_each_process_goes_on_with_random_numbers_of_its_own(tmp_path):
    """Defect: all took the first one's, so that dropout in the others was not as it would have been."""
    processes.finish(processes.started(_goes_on_with_its_own_luck, 2, (tmp_path,)))


@pytest.mark.slow
def test_processes_that_are_told_no_folder_share_the_first_ones(tmp_path, monkeypatch):
    """Defect: each named it by its own clock, and two sides of a second made two runs."""
    monkeypatch.setattr("amft_mm.trainer.default_path", lambda *_: Path(f"by-{os.environ['RANK']}"))
    words = [*processes.SMALL, "env=math", "method=sft", "train.steps=1"]
    processes.finish(processes.started(processes._train, 2, (str(tmp_path), words)))
    assert [path.name for path in tmp_path.iterdir()] == ["by-0"]


def test_a_broken_checkpoint_is_told_by_name(tmp_path):
    from amft_mm.runs import checkpoints

    writer = checkpoints.Writer(tmp_path, keep=1)
    writer.save(1, {"step": 1, "model": {"w": torch.ones(2)}})
    writer.wait()
    path = checkpoints.path_of(tmp_path, 1)
    (path / "state.pt").write_bytes(b"nonsense")
    with pytest.raises(checkpoints.CheckpointError, match="cannot be read"):
        checkpoints.load(path)


def test_a_checkpoint_that_lost_its_weights_is_told_by_name(tmp_path):
    """Defect: weights that were not there were None, and the run ended in a traceback."""
    from amft_mm.runs import checkpoints

    writer = checkpoints.Writer(tmp_path, keep=1)
    writer.save(1, {"step": 1, "model": {"w": torch.ones(2)}})
    writer.wait()
    path = checkpoints.path_of(tmp_path, 1)
    for file in path.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(checkpoints.CheckpointError, match=r"model/w among them.*delete"):
        checkpoints.load(path, only="model")


@pytest.mark.parametrize("words", ["{", "[1]", '{"score": 1}', '{"score": "x", "step": 1}'])
def test_a_spoilt_note_of_the_best_is_told_by_name(tmp_path, words):
    from amft_mm.runs import checkpoints

    (tmp_path / "best.json").write_text(words)
    with pytest.raises(checkpoints.CheckpointError, match=r"best\.json cannot be read"):
        checkpoints.best(tmp_path)


@pytest.mark.slow
def test_ppo_and_a_penalty_come_back_after_an_interruption(tmp_path):
    """The value head's state and the reference's weights are part of what a checkpoint holds."""
    more = ["env=math", "method=ppo", "method.kl=0.1", "train.steps=4"]
    assert run(tmp_path, *more, "out=whole").returncode == 0
    assert run(tmp_path, *more, "out=parts").returncode == 0
    shutil.rmtree(tmp_path / "parts" / "checkpoints" / "step_000006")
    again = run(tmp_path, *more, "out=parts", "resume=true")
    assert again.returncode == 0, again.stderr
    assert "going on after step" in again.stdout
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")


def test_trackers_are_off_unless_asked_for_and_never_ask(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert wandb_mode(None) == "disabled"
    with pytest.raises(ValueError, match="set WANDB_API_KEY"):
        wandb_mode("online")
    with pytest.raises(ValueError, match=r"wandb\.mode"):
        wandb_mode("on")
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert wandb_mode(None) == "online"
    assert wandb_mode("disabled") == "disabled"


@pytest.mark.slow
def test_offline_tracking_stays_in_the_folder(tmp_path):
    done = run(tmp_path, "env=math", "wandb.mode=offline", "out=here")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "here").glob("wandb/offline-run-*"))
    films = (tmp_path / "here").glob("wandb/offline-run-*/files/media/videos/episode/*.gif")
    assert len({film.name.partition("_")[0] for film in films}) >= 2  # of two splits
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["log_success", "demo_nll"])
def test_mu_can_be_learnt_for_other_utilities(tmp_path, name):
    """Where nobody succeeds, log_success looks at the expert's own episode; demo_nll always does."""
    settings = [f"method.utility.name={name}", "+method.utility.every=1", "train.steps=3"]
    # Clipped, a step on demonstrations alone is the same for any mu.
    settings += ["train.max_norm=null"]
    done = run(tmp_path, "env=math", *settings, "out=here")
    assert done.returncode == 0, done.stderr
    mixed = processes.mixed(tmp_path / "here")
    looked = ["meta/hypergradient" in row for row in mixed]
    assert looked == [False, True, True]  # at the first nothing has been mixed yet
    wrong = run(tmp_path, "env=math", "+method.utility.size=3", "out=there")
    assert "utility next_rollout" in wrong.stderr


@pytest.mark.slow
def test_mu_can_be_learnt_on_held_out_task_instances(tmp_path, monkeypatch):
    """By what was played for that alone; each group's first is rewarded, since the model never succeeds."""
    play, asked = Sources.heldout_rollouts, []

    def first_rewarded(self, step, tasks, only=None):
        asked.append((step, tasks))
        played = play(self, step, tasks, only)
        return [[*with_wrong_rewards(group[:1], 1.0, 0, step), *group[1:]] for group in played]

    monkeypatch.setattr(Sources, "heldout_rollouts", first_rewarded)
    utility = ["method.utility.name=heldout", "+method.utility={every:1,tasks:4}"]
    words = [*TINY, "env=math", "eval.every=0", "train.max_norm=null", *utility]
    words.append(f"out={tmp_path}/here")
    train(configuration("train", words))
    looks = [row.get("meta/hypergradient", 0) != 0 for row in processes.mixed(tmp_path / "here")]
    assert looks == [False, True, True]
    assert asked == [(4, 4), (5, 4)]


@pytest.mark.slow
def test_each_environment_of_a_mix_can_have_its_own_mu(tmp_path):
    settings = ["method.mu_per=env", "method.utility.name=log_success"]
    # Clipped, a step on demonstrations alone is the same for any mu.
    settings += ["train.max_norm=null"]
    shares = ["env.shares.general_points=0", "train.steps=6", "train.demos=4"]
    done = run(tmp_path, "env=mix", *settings, *shares, "out=here")
    assert done.returncode == 0, done.stderr
    mixed = [row for row in rows(tmp_path / "here") if row["phase"] == "mix"]
    mus = [(row["mu/virl"], row["mu/math"]) for row in mixed]
    assert mus[0] == (0.5, 0.5)
    virl, math = ([row.get(f"meta/evidence/{name}") for row in mixed] for name in ("virl", "math"))
    assert any(virl)
    assert any(math)
    assert virl != math  # each has looks of its own
    share = 0.4 / 0.6
    assert mixed[-1]["mu"] == pytest.approx(share * mus[-1][0] + (1 - share) * mus[-1][1])
