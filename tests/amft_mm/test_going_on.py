"""A run is stopped, killed and gone on with, by the public command; nothing is in the way of the next one."""

import os
import signal
import subprocess
import time

import pytest

from tests.amft_mm.test_train import ROOT, command, rows, run

QUIET = ["env=math", "eval.every=0"]


def begun(folder, *settings):
    """A training process, as soon as its folder has so many rows of metrics."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    started = subprocess.Popen(
        command(*QUIET, *settings, "out=here"),
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics = folder / "here" / "metrics.jsonl"
    while not metrics.exists() or len(metrics.read_text().splitlines()) < 4:
        assert started.poll() is None, started.communicate()
        time.sleep(0.01)
    return started


def checkpoints(folder):
    return sorted(path.name for path in (folder / "here" / "checkpoints").glob("step_*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_writes_a_checkpoint_and_says_so(tmp_path, number, code):
    started = begun(tmp_path, "train.steps=500", "checkpoint.every=1000")
    assert checkpoints(tmp_path) == ["step_000002"]  # of the end of the warm-up
    started.send_signal(number)
    out, err = started.communicate(timeout=300)
    assert started.returncode == code
    assert "stopping after this step" in err
    assert "amft-mm train resume=true out=here" in out
    assert "Traceback" not in err
    assert len(checkpoints(tmp_path)) == 2


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(tmp_path):
    """Though a step takes long, as here where none is ever made: the process is stopped between both."""
    started = begun(tmp_path, "train.steps=100000", "checkpoint.every=100000")
    started.send_signal(signal.SIGSTOP)
    started.send_signal(signal.SIGINT)
    started.send_signal(signal.SIGCONT)
    time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    assert started.wait(timeout=300) == 130


@pytest.mark.slow
def test_a_kill_before_the_first_checkpoint_is_begun_anew(tmp_path):
    """The steps that were made once more stood twice in the metrics."""
    words = ["train.warmup_steps=6", "train.steps=1"]
    killed = begun(tmp_path, *words, "checkpoint.every=1000")
    killed.kill()
    killed.wait()
    assert checkpoints(tmp_path) == []
    done = run(tmp_path, "resume=true", "out=here", base=())  # with the run's own settings
    assert done.returncode == 0, done.stderr
    assert [row["step"] for row in rows(tmp_path / "here") if row["phase"] != "evaluation"] == [
        *range(1, 8)
    ]


@pytest.mark.slow
def test_what_changes_the_past_is_refused_by_name_and_steps_may_grow(tmp_path):
    done = run(tmp_path, *QUIET, "train.steps=2", "out=here")
    assert done.returncode == 0, done.stderr
    before = rows(tmp_path / "here")
    refused = run(tmp_path, "resume=true", "out=here", "train.lr=0.5", "train.steps=1", base=())
    assert refused.returncode == 1
    assert "train.lr: 3e-05 then, 0.5 now" in refused.stderr or "train.lr: " in refused.stderr
    assert "train.steps: 2 then, 1 now" in refused.stderr
    words = ["train.steps=4", "eval.episodes=3", "checkpoint.every=1", "record.rollouts=0"]
    done = run(tmp_path, "resume=true", "out=here", *words, base=())
    assert done.returncode == 0, done.stderr
    after = rows(tmp_path / "here")
    assert after[: len(before)] == before
    assert [row["step"] for row in after[len(before) :]] == [5, 6, 6]
    assert "train.steps: 4" in (tmp_path / "here" / "config.yaml").read_text().replace(
        "  ", "train."
    )


@pytest.mark.slow
def test_a_start_that_failed_leaves_nothing_in_the_way(tmp_path):
    failed = run(tmp_path, *QUIET, "model.name=./nowhere", "out=here")
    assert failed.returncode == 1
    assert "no model there" in failed.stderr
    other = run(tmp_path, *QUIET, "demos.n=4", "train.steps=1", "out=here")
    assert other.returncode == 0, other.stderr


@pytest.mark.slow
def test_two_processes_do_not_train_into_one_folder(tmp_path):
    first = begun(tmp_path, "train.steps=100000")
    second = run(tmp_path, "resume=true", "out=here", base=())
    first.kill()
    first.wait()
    assert second.returncode == 1
    assert "another process trains there now" in second.stderr


@pytest.mark.slow
def test_checkpoints_are_written_by_time_too(tmp_path):
    words = ["checkpoint.every=1000", "checkpoint.minutes=0.0001", "checkpoint.keep=100"]
    done = run(tmp_path, *QUIET, *words, "train.steps=40", "out=here")
    assert done.returncode == 0, done.stderr
    assert len(checkpoints(tmp_path)) > 2
