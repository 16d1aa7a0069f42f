"""A run in the terminal: what it shows is what the run wrote, at any width, while it writes."""

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from amft_mm.config.command_line import configuration
from amft_mm.runs.progress import Progress
from amft_mm.watch import main, picture, sparkline, time_left
from tests.waiting import needs_ctrl_c

ROOT = Path(__file__).parents[2]


def run_of(folder, rows, cut=""):
    folder.mkdir()
    (folder / "config.yaml").write_text(
        "env: {name: virl}\nmethod: {name: amft}\nseed: 3\ntrain: {warmup_steps: 10, steps: 30}\n"
    )
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + cut)
    return folder


def step(number, **figures):
    return {"step": number, "phase": "mix", "mu": number / 40, "time/step": 6.0, **figures}


ROWS = [
    *(
        step(n, **{"rollout/success": n / 40, "rollout/verdict/[red]right": 0.75})
        for n in range(1, 21)
    ),
    {"step": 20, "phase": "evaluation", "eval/id/success": 0.5, "eval/id/stop/success": 0.5},
]


def drawn(folder, width=100):
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(picture(folder, width))
    return console.file.getvalue()


def test_it_tells_what_the_run_wrote(tmp_path):
    text = drawn(run_of(tmp_path / "run", ROWS, cut='{"step": 21, "ph'))
    assert "virl, amft, seed 3" in text
    assert "step 20 of 40, mix, 2 min left" in text
    assert "id 50.0%" in text
    assert "▁" in text
    assert "[red]right" in text  # a name, not markup
    assert "75%" in text


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_it_fits_any_terminal(tmp_path, width):
    lines = drawn(run_of(tmp_path / "run", ROWS), width).splitlines()
    assert max(len(line) for line in lines) <= width


def test_a_run_that_has_not_begun_and_one_that_is_none(tmp_path):
    assert "not made a step yet" in drawn(run_of(tmp_path / "run", []))
    with pytest.raises(SystemExit, match="holds no run"):
        main([str(tmp_path)])


@pytest.mark.parametrize(
    ("spoilt", "kept"),
    [
        ({"time/step": "long"}, "time left not known"),
        ({"rollout/verdict/x": {}}, "mu"),
        ({"rollout/verdict/x": 1e300}, "x"),
        ({"rollout/failure/hang": None, "rollout/tries": []}, "mu"),
        ({"phase": None}, "None"),
        ({"phase": "evaluation", "eval/id/success": "half"}, "has not made a step yet"),
    ],
)
def test_a_figure_that_is_spoilt_costs_itself(tmp_path, spoilt, kept):
    """Defect: a traceback instead of the run."""
    assert kept in drawn(run_of(tmp_path / "run", [step(1) | spoilt]))
    assert "step 2 of 40" in drawn(run_of(tmp_path / "more", [step(1) | spoilt, step(2)]))


@pytest.mark.parametrize("train", ["3", "{}", "{warmup_steps: null, steps: x}"])
def test_settings_of_another_kind_are_named(tmp_path, train):
    """Defect: a traceback."""
    run = run_of(tmp_path / "run", ROWS)
    (run / "config.yaml").write_text(f"env: {{}}\nmethod: {{}}\ntrain: {train}\n")
    with pytest.raises(SystemExit, match=r"config\.yaml says train\.warmup_steps=None"):
        main([str(run), "--once"])


def test_lines_of_blocks():
    def line(*values, width=10, low=0.0, high=1.0):
        return sparkline(list(enumerate(values)), width, low, high, (0, len(values) - 1))

    assert line(0.0, 0.5, 1.0) == "▁▅█"
    assert len(line(*range(1000), width=50, high=999)) == 50
    assert line(2.0, 2.0, width=5, low=2.0, high=2.0) == "▅▅"
    assert sparkline([], 5, 0, 1, (1, 3)) == "   "


def test_lines_stand_one_below_the_other_by_step(tmp_path):
    """Defect: what is known of mixed steps alone began at the left, below the first of the warm-up."""
    rows = [step(n, **({"rollout/success": 1.0} if n > 10 else {})) for n in range(1, 21)]
    told = drawn(run_of(tmp_path / "run", rows)).splitlines()
    mu, success = (
        next(line for line in told if line.startswith(name)) for name in ("mu", "success of")
    )
    begin = mu.index("▁")
    assert success[begin:].rstrip() == " " * 10 + "█" * 10


def test_the_time_left_is_that_of_the_last_steps():
    slow = [{"step": n, "time/step": 100.0} for n in range(1, 50)]
    quick = [{"step": n, "time/step": 36.0} for n in range(50, 71)]
    assert time_left([*slow, *quick], 170) == "1 h 0 min left"
    assert time_left([*slow, *quick], 70) == "done"


def test_what_mixed_steps_take_is_not_told_by_those_of_the_warm_up(capsys, monkeypatch):
    """Defect: they take 20 times as long, so that in the warm-up the time left was wrong by as much."""
    rows = [
        *({"step": n, "phase": "warmup", "time/step": 6.0} for n in range(1, 21)),
        *({"step": n, "phase": "mix", "time/step": 120.0} for n in range(21, 24)),
    ]
    told = [time_left(rows[:n], 50, 20) for n in (10, 20, 22)]
    assert told[0] == "1 min of warm-up left, then 30 mixed steps"
    assert told[1] == "0 min of warm-up left, then 30 mixed steps"
    assert told[2] == "56 min left"
    assert time_left(rows[:10], 20, 20) == "1 min left"
    # And so it is told while it trains.
    words = ["env=math", "train.warmup_steps=20", "train.steps=30"]
    progress, now = Progress(configuration("train", words), Path("run")), 0.0
    monkeypatch.setattr("amft_mm.runs.progress.time.monotonic", lambda: now)
    for row in rows:
        now += row["time/step"]
        progress.tell(row)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    left = {line.split("/")[0]: line.rpartition("  ")[2] for line in lines}
    assert left["step 10"] == "1.0 min of warm-up left, then 30 mixed steps"
    assert left["step 21"] == "58.0 min left"


@pytest.mark.slow
def test_it_follows_a_run_on_a_terminal_that_is_resized(tmp_path):
    """On a real pseudo-terminal: new rows appear, a resize is survived, Ctrl+C ends it in order."""
    import fcntl
    import struct
    import termios

    needs_ctrl_c()
    folder = run_of(tmp_path / "run", ROWS)
    ours, theirs = pty.openpty()

    def resize(lines, columns):
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    resize(30, 90)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    environment.pop("COLUMNS", None)
    watching = subprocess.Popen(
        [sys.executable, "-m", "amft_mm.watch", str(folder)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    seen = ""

    def wait_for(words):
        nonlocal seen
        started = time.monotonic()
        while words not in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen):
            left = started + 60 - time.monotonic()
            assert select.select([ours], [], [], max(0.0, left))[0], seen[-2000:]
            seen += os.read(ours, 65536).decode(errors="replace")

    wait_for("step 20 of 40")
    with (folder / "metrics.jsonl").open("a") as lines:
        lines.write(json.dumps(step(21)) + "\n")
    wait_for("step 21 of 40")
    resize(12, 40)
    with (folder / "metrics.jsonl").open("a") as lines:
        lines.write(json.dumps(step(22)) + "\n")
    wait_for("step 22 of 40")
    watching.send_signal(signal.SIGINT)
    assert watching.wait(30) == 0
