"""`envs` and `agents` are generic names: whoever else uses one is told of, before anything goes wrong.

The published defect of generic names: `pip install openai-agents` beside a project with a package
`agents` breaks either of them, and all that is said is that some module has no attribute.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def python(*arguments, cwd, path):
    """A process of its own that looks for packages in these places, in this order."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        timeout=120,
    )


def package(folder, name):
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text("WHOSE = 'theirs'\n")


def distribution(folder, name, package):
    """What pip leaves of a distribution that installed one package."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "RECORD").write_text(f"{package}/__init__.py,,17\n{package}/run.py,,0\n")


@pytest.fixture
def theirs(tmp_path):
    """A place on the path into which `openai-agents` is installed."""
    place = tmp_path / "theirs"
    package(place, "agents")
    distribution(place, "openai-agents", "agents")
    return place


@pytest.fixture
def installed(tmp_path):
    """A place on the path into which amft_mm is installed, as by its wheel."""
    place = tmp_path / "site"
    for name in ("envs", "agents", "amft_mm"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "amft_mm_gymnasium.py", place)
    info = place / "amft_mm-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: amft-mm\nVersion: 0.1.0\n")
    files = [f for f in place.rglob("*") if f.is_file()]
    rows = [f"{f.relative_to(place).as_posix()},,{f.stat().st_size}" for f in files]
    (info / "RECORD").write_text("\n".join(rows))
    return place


COMMANDS = [("-m", "amft_mm.methods"), ("-m", "envs.play", "amft/GeneralPoints-v0", "--expert")]


@pytest.mark.parametrize("command", COMMANDS, ids=["amft_mm", "play"])
def test_a_folder_in_the_working_directory_is_named_without_a_traceback(tmp_path, command):
    package(tmp_path, "envs")
    told = python(*command, cwd=tmp_path, path=[ROOT])
    assert told.returncode != 0
    assert f"Python finds {tmp_path / 'envs'}. Rename or leave that folder" in told.stderr
    assert "Traceback" not in told.stderr


def test_gymnasium_tells_who_is_in_the_way_of_a_world(tmp_path):
    package(tmp_path, "envs")
    code = "import gymnasium; gymnasium.make('amft/VIRL-v0')"
    told = python("-c", code, cwd=tmp_path, path=[ROOT])
    assert f"Python finds {tmp_path / 'envs'}" in told.stderr


def test_missing_modules_of_others_are_none_of_our_business(tmp_path):
    package(tmp_path, "envs")
    code = "import envs.something"
    told = python("-c", code, cwd=tmp_path, path=[ROOT])
    assert "No module named 'envs.something'" in told.stderr


def test_a_distribution_that_comes_first_is_named(tmp_path, theirs):
    told = python("-m", "amft_mm.methods", cwd=tmp_path, path=[theirs, ROOT])
    assert told.returncode != 0
    assert f"Python finds {theirs / 'agents'}, which openai-agents installed." in told.stderr
    assert "environments of their own" in told.stderr
    told = python("-c", "import agents.policy", cwd=tmp_path, path=[theirs, ROOT])
    assert "which openai-agents installed" in told.stderr


def test_a_distribution_that_comes_after_ours_is_a_warning(tmp_path, theirs):
    done = python("-m", "amft_mm.methods", cwd=tmp_path, path=[ROOT, theirs])
    assert done.returncode == 0, done.stderr
    assert "openai-agents installs a package 'agents' too" in done.stderr


@pytest.mark.parametrize("last", ["theirs", "ours"])
@pytest.mark.parametrize("command", COMMANDS, ids=["amft_mm", "play"])
def test_a_distribution_in_the_same_folder_is_named(tmp_path, installed, last, command):
    """pip lets two distributions write into one folder; whoever comes last overwrites."""
    (installed / "agents" / "run.py").touch()
    if last == "theirs":
        (installed / "agents" / "__init__.py").write_text("WHOSE = 'theirs'\n")
    distribution(installed, "openai-agents", "agents")
    told = python(*command, cwd=tmp_path, path=[installed])
    assert told.returncode != 0
    assert "openai-agents installed files into the package 'agents' of amft_mm" in told.stderr
    assert "Traceback" not in told.stderr


def test_an_installation_alone_and_files_of_nobody_are_fine(tmp_path, installed):
    (installed / "agents" / ".DS_Store").touch()
    distribution(installed, "another", "another")
    done = python("-c", "import amft_mm, envs.play", cwd=tmp_path, path=[installed])
    assert (done.returncode, done.stderr) == (0, "")
