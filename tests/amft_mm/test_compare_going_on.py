"""A comparison is killed, and goes on where it was."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from filelock import FileLock

from amft_mm.compare.grid import Run
from amft_mm.compare.jobs import STOPPED, make_all
from amft_mm.runs.folder import LOCK
from amft_mm.runs.metrics import read_rows
from tests.amft_mm.test_train import ROOT
from tests.waiting import needs_ctrl_c, wait_until

CALL = """
import sys
from tests.amft_mm.test_compare_going_on import made
made(sys.argv[1])
"""


def made(folder, lr="0.001"):
    settings = [
        *("env=math", "method=sft", "model.name=tiny-random", "demos.n=4", "train.warmup_steps=0"),
        *(f"train.lr={lr}", "train.steps=12", "train.demos=2", "limits.max_new_tokens=8"),
        *("eval.every=0", "eval.episodes=2", "checkpoint.every=1"),
    ]
    run = Run("math", "clean", "sft", 0, Path(folder) / "0", tuple(settings))
    return make_all([run], [{}], lambda _: None, keep=False)[0]


def called_for(folder, steps):
    """A comparison in a process of its own, whose run has made that many."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", CALL, str(folder)]
    call = subprocess.Popen(words, env=environment, start_new_session=True)
    wait_until(lambda: len(read_rows(folder / "0")) >= steps, call)
    return call


def killed_after(folder, steps):
    call = called_for(folder, steps)
    os.killpg(call.pid, signal.SIGKILL)
    call.wait()
    return read_rows(folder / "0")[:steps]


def stopped_after(folder, steps):
    """The training process alone, as who does not know of the comparison would."""
    wait_until(lambda: len(read_rows(folder / "0")) >= steps)
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # of processes that have ended
            if f"out={folder}/0".encode() in words.read_bytes():
                os.kill(int(words.parent.name), signal.SIGTERM)


@pytest.mark.slow
def test_a_comparison_that_was_killed_goes_on_from_the_last_checkpoint(tmp_path):
    """Runs of hours were begun anew."""
    before = killed_after(tmp_path, 6)  # checkpoints are written in the background
    begun = tmp_path / "0.begun.txt"
    assert begun.exists()
    result = made(tmp_path)
    assert result.state == "finished", result.why
    rows = [row for row in read_rows(tmp_path / "0") if row["phase"] == "mix"]
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert rows[:2] == before[:2]  # with their times: not made again
    assert result.seconds > sum(row["time/step"] for row in rows[:2])
    assert not begun.exists()
    assert json.loads((tmp_path / "0.json").read_text())["state"] == "finished"


@pytest.mark.slow
def test_what_cannot_be_gone_on_with_is_begun_anew(tmp_path):
    """It was refused at each call, and written down as a crash."""
    before = killed_after(tmp_path, 6)
    for state in (tmp_path / "0" / "checkpoints").glob("*/state.pt"):
        state.write_bytes(b"spoilt")
    result = made(tmp_path)
    assert result.state == "finished", result.why
    rows = [row for row in read_rows(tmp_path / "0") if row["phase"] == "mix"]
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert rows[0]["time/step"] != before[0]["time/step"]


@pytest.mark.slow
def test_who_stops_a_run_has_no_crash_in_the_results(tmp_path):
    """Another call would have listed it, and not have gone on with it."""
    stop = threading.Thread(target=stopped_after, args=(tmp_path, 3), daemon=True)
    stop.start()
    result = made(tmp_path)
    assert result.why == STOPPED
    assert not (tmp_path / "0.json").exists()
    assert made(tmp_path).state == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_comparison_that_is_stopped_stops_its_runs(tmp_path, number):
    """They went on alone where the signal came from a batch system and not from a terminal."""
    if number == signal.SIGINT:
        needs_ctrl_c()
    call = called_for(tmp_path, 3)
    call.send_signal(number)
    assert call.wait(60) != 0
    with FileLock(tmp_path / "0" / LOCK, blocking=False):  # nobody trains there any more
        rows = read_rows(tmp_path / "0")
    assert len(rows) < 12
    assert not (tmp_path / "0.json").exists()
    assert made(tmp_path).state == "finished"
    assert read_rows(tmp_path / "0")[:3] == rows[:3]


@pytest.mark.slow
def test_a_run_whose_comparison_was_killed_is_waited_for(tmp_path):
    """It trained on, and the next call deleted its folder under it."""
    call = called_for(tmp_path, 3)
    call.kill()
    call.wait()
    result = made(tmp_path)
    assert result.state == "finished", result.why
    rows = [row for row in read_rows(tmp_path / "0") if row["phase"] == "mix"]
    assert [row["step"] for row in rows] == list(range(1, 13))


@pytest.mark.slow
def test_what_was_begun_with_other_settings_is_begun_anew(tmp_path):
    before = killed_after(tmp_path, 2)
    result = made(tmp_path, lr="0.002")
    assert result.state == "finished", result.why
    rows = [row for row in read_rows(tmp_path / "0") if row["phase"] == "mix"]
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert rows[0]["time/step"] != before[0]["time/step"]
