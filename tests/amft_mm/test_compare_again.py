"""Reports that are made again: of what the files say, of all that can be read, and nothing besides."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from amft_mm.compare.__main__ import compare, tell
from amft_mm.compare.again import found_in
from amft_mm.compare.grid import Run
from amft_mm.compare.replays import write_replays
from amft_mm.compare.result import Score, write_result
from amft_mm.config.command_line import configuration
from tests.amft_mm.test_compare import result
from tests.amft_mm.test_compare_page import episodes


def left(out, *results):
    """As a comparison leaves them."""
    for one in results:
        folder = out / "runs" / one.name
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_result(Run(one.env, one.condition, one.method, one.seed, folder, ()), one)


def rendered(out, *words):
    compare(configuration("compare", ["render=true", f"out={out}", "baselines=[sft]", *words]))
    return (out / "README.md").read_text()


@pytest.fixture
def compared(tmp_path):
    """A folder of two methods whose first seeds kept what they played."""
    left(tmp_path, *(result(m, seed, 0.5) for m in ("sft", "amft") for seed in range(2)))
    for method, fared in (("sft", [True, False, True]), ("amft", [False, True, True])):
        episodes(tmp_path / "runs" / "math" / "clean" / method / "0", fared)
    return tmp_path


def test_who_asks_for_no_replays_gets_none(compared):
    """Defect: replay=false wrote them all the same when a report was made again."""
    rendered(compared, "replay=false")
    assert not (compared / "replays").exists()
    assert "replays/" not in (compared / "index.html").read_text()
    rendered(compared)
    assert "replays/" in (compared / "index.html").read_text()


def test_what_a_report_can_tell_is_told_by_the_looks_that_its_differences_are_held_to(tmp_path):
    """Defect: once all had the seeds of the last look it was told as of an only look, which asks for less."""
    each = {"sft": [1.0, 0.0, 0.0, 1.0] * 5, "amft": [1.0, 1.0, 0.0, 0.0] * 5}
    scores = {method: {"id": Score(0.5, 20, own)} for method, own in each.items()}
    left(tmp_path, *(result(m, seed, 0.5, scores=scores[m]) for m in each for seed in range(3)))
    made = rendered(tmp_path, "seeds=2", "max_seeds=3", "more_seeds={}", "replay=false")
    told = made[made.index("## What this can tell") : made.index("## Told apart")]
    assert "math, clean: 2 seeds x 20 episodes: " in told
    assert "the last look, each at 9" in told
    assert ": 3 seeds x 20 episodes: " in told


def test_machines_that_end_together_write_one_after_the_other(compared, monkeypatch):
    """Defect: one ended by `No such file or directory`, or read a README that another had just emptied."""
    inside, most = [], []

    def watched(*given):
        inside.append(given)
        time.sleep(0.1)
        most.append(len(inside))
        write_replays(*given)
        inside.pop()

    monkeypatch.setattr("amft_mm.compare.__main__.write_replays", watched)
    config = configuration("compare", [f"out={compared}", "baselines=[sft]"])
    found = found_in(config, print)
    with ThreadPoolExecutor() as pool:
        calls = [pool.submit(tell, config, found, "command", [], [2]) for _ in range(2)]
    assert [call.result() for call in calls] == [None, None]
    assert most == [1, 1]


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("seed", "0"),
        ("choice", None),
        ("totals", {"demonstration tokens": 1, "generated tokens": "<b>", "optimizer steps": 1}),
        ("curves", {"mu": []}),
        ("curves", {"success": [[0, 0.1], [10, None]]}),
        ("scores", {"id": {"success": 0.5, "episodes": "many"}}),
        ("scores", {"id": {"success": 0.5, "episodes": 2, "each": [1.0, "x"]}}),
        ("scores", {"id": {"success": float("nan"), "episodes": 2}}),
        ("tries", {"id": [[4]]}),
        ("tries", {"id": [[4, 10**400]]}),
    ],
)
def test_a_file_that_says_something_else_is_named_and_costs_itself_alone(
    compared, capsys, part, value
):
    """Defect: its settings and successes alone were looked at; the rest ended the report by a traceback."""
    path = compared / "runs" / "math" / "clean" / "amft" / "0.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), part: value}))
    made = rendered(compared)
    assert "Seeds: amft 1, sft 2." in made
    assert f"{path} cannot be read and is left out" in capsys.readouterr().out


def test_a_report_of_others_is_read_as_data(compared, capsys, monkeypatch):
    """Defect: what it referred to in the environment was read, and bytes that are no text ended it."""
    monkeypatch.setenv("KEY", "secret")
    (compared / "README.md").write_bytes(
        b"\xff Made by `compare 'baselines=[${oc.env:KEY}]'`: 4 runs."
    )
    compare(configuration("compare", ["render=true", f"out={compared}"]))
    assert "secret" not in capsys.readouterr().out + (compared / "README.md").read_text()
