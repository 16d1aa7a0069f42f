"""What the documents and configurations say is true."""

import re
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env
from packaging.requirements import Requirement

from agents.worlds import World
from amft_mm.config.composition import composition
from amft_mm.evaluation.evaluator import splits_of
from tests import started
from tests.amft_mm.test_train import TINY, run

ROOT = Path(__file__).resolve().parent.parent
ENVS = sorted(path.stem for path in (ROOT / "configs" / "env").glob("*.yaml") if path.stem != "own")


@pytest.mark.parametrize("name", ENVS)
def test_every_shipped_configuration_makes_its_environment(name):
    config = composition("train", [f"env={name}"])
    assert config.env.name == name
    for split in splits_of(config.env):
        split.world().make().reset(seed=0)


def world_of_the_guide(folder):
    guide = (ROOT / "docs" / "environments.md").read_text(encoding="utf-8")
    code = re.search(r"(?ms)^    # doubling.py\n.*?(?=^\S)", guide)[0]
    (folder / "doubling.py").write_text(re.sub(r"(?m)^    ", "", code), encoding="utf-8")


def test_the_world_in_the_guide_works(tmp_path, monkeypatch):
    world_of_the_guide(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    env = gymnasium.make("doubling:my/DoubleIt-v0").unwrapped
    check_env(env)
    env.reset(seed=0)
    assert env.step(env.expert())[1] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["", "method=grpo train.warmup_steps=0 demos.n=0"])
def test_the_world_in_the_guide_trains_from_its_own_folder(tmp_path, how):
    world_of_the_guide(tmp_path)
    short = [*TINY, "out=here", *how.split()]
    done = run(tmp_path, "env=own", "env.id=doubling:my/DoubleIt-v0", base=short)
    assert done.returncode == 0, done.stderr
    assert "eval/all/success" in (tmp_path / "here" / "summary.json").read_text()


def test_an_environment_that_is_not_there_is_told():
    with pytest.raises(ValueError, match=r"'nowhere:my/World-v0' is not known.*MODULE:ID"):
        World("nowhere:my/World-v0").make()


def test_the_examples_of_the_readme_run():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"(?ms)^    import gymnasium\n.*?(?=^\S)", readme)[0]
    names = {}
    exec(compile(re.sub(r"(?m)^    ", "", code), "readme", "exec"), names)
    assert names["info"]["verdict"] in ("moved", "turned", "arrived")


def test_the_player_of_the_readme_plays(capsys):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"(?ms)^    from agents.engines import.*?(?=^\S)", readme)[0]
    code = re.sub(r"(?m)^    ", "", code).replace("tasks=4, group=4", "tasks=1, group=2")
    exec(compile(code, "readme", "exec"), {})
    assert "'episodes': 2" in capsys.readouterr().out


def test_the_players_guide_plays(capsys):
    guide = (ROOT / "docs" / "players.md").read_text(encoding="utf-8")
    code = re.search(r"(?ms)^    from agents.policy import.*?(?=^\S)", guide)[0]
    exec(compile(re.sub(r"(?m)^    ", "", code), "guide", "exec"), {})
    assert "'episodes': 8" in capsys.readouterr().out


@pytest.mark.slow
def test_the_demonstrations_of_the_players_guide_are_read(tmp_path):
    guide = (ROOT / "docs" / "players.md").read_text(encoding="utf-8")
    [command] = re.findall(r"(?m)^    python -m (amft_mm\.demos env=.*)$", guide)
    assert "out=demos/virl" in command
    words = command.replace("demos/virl", str(tmp_path / "virl")).split()
    done = started.run([sys.executable, "-m", *words, "n=2"])
    assert done.returncode == 0, done.stderr
    rows = re.search(r"(?ms)^    from agents.demonstrations import.*?(?=^\S)", guide)[0]
    code = re.sub(r"(?m)^    ", "", rows).replace("demos/virl", str(tmp_path / "virl"))
    policy = "from agents.policy import Policy\npolicy = Policy.load('tiny')\n"
    names = {}
    exec(compile(policy + code.replace("count=16", "count=2"), "guide", "exec"), names)
    assert len(names["batch"]) == 2
    assert names["conversation"].images


@pytest.mark.slow
def test_the_gallery_can_be_drawn(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "envs.gallery", str(tmp_path / "gallery.png")],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "gallery.png").stat().st_size > 100_000


def test_constraints_fit_the_declared_ranges():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[^ ]+( ; .*)?", line) for line in lines)
    pins = {line.split("==")[0].lower(): line.split("==")[1].split(" ")[0] for line in lines}
    for text in project["dependencies"]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(pins[wanted.name.lower()]), text


def test_nothing_large_is_in_the_repository():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert ROOT / "README.md" in files
    large = [file for file in files if file.is_file() and file.stat().st_size >= 10_000_000]
    assert not large
