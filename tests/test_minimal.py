"""examples/minimal.py: the method in one file stays short, and does what it says."""

import importlib.util
import runpy
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parent.parent / "examples" / "minimal.py"


@pytest.fixture
def minimal(monkeypatch):
    spec = importlib.util.spec_from_file_location("minimal", PATH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in {"DEMONSTRATIONS": 2, "TASKS": 2, "GROUP": 4}.items():
        monkeypatch.setattr(module, name, value)
    return module


def test_one_reads_it_in_a_sitting():
    assert len(PATH.read_text(encoding="utf-8").splitlines()) <= 120


def test_it_mixes_looks_and_prints_mu_and_success(minimal, monkeypatch, capsys):
    told = []
    original = minimal.balance

    def watched(*arguments):
        made = original(*arguments)
        update = made.update
        made.update = lambda signal: (told.append(signal), update(signal))[1]
        return made

    monkeypatch.setattr(minimal, "balance", watched)
    curve = minimal.main("amft/Math-v0", 3, 2)
    assert len(curve) == 3
    assert all(0 < mu < 1 and 0 <= success <= 1 for mu, success in curve)
    assert len(told) == 2  # before the first mix nothing has been done that could be looked at
    assert capsys.readouterr().out.count("mu 0.") == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--help"], "imitation and exploration mixed in every step"),
        (["amft/Math-v0", "many"], "invalid int value: 'many'"),
    ],
)
def test_it_says_what_it_takes(words, told, monkeypatch, capsys):
    """Defect: both were tracebacks."""
    monkeypatch.setattr(sys, "argv", [str(PATH), *words])
    with pytest.raises(SystemExit):
        runpy.run_path(str(PATH), run_name="__main__")
    assert told in "".join(capsys.readouterr())
