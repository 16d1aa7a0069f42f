"""What people and machines read about the project before they run it is well-formed, and true."""

import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from amft_mm import __version__
from tests import conftest

ROOT = Path(__file__).resolve().parent.parent
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_citation_is_of_this_version_and_names_the_papers():
    cited = read(ROOT / "CITATION.cff")
    assert {"cff-version", "title", "message", "authors", "version", "license"} <= cited.keys()
    assert str(cited["version"]) == __version__
    assert cited["license"] == PROJECT["license"]
    assert cited["authors"] == PROJECT["authors"]
    papers = {i["value"] for paper in cited["references"] for i in paper["identifiers"]}
    assert papers == {"arXiv:2508.06944", "arXiv:2501.17161"}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_each_form_asks_for_something(path):
    form = read(path)
    if path.stem == "config":
        assert form["blank_issues_enabled"] is False
        return
    assert form["name"]
    assert form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields) > 0
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_the_workflow_runs_what_a_change_must_pass():
    flow = read(ROOT / ".github" / "workflows" / "ci.yml")
    steps = [step for job in flow["jobs"].values() for step in job["steps"]]
    assert any(".ci/run" in step.get("run", "") for step in steps)
    assert any("mkdocs build --strict" in step.get("run", "") for step in steps)
    assert (ROOT / ".ci" / "run").is_file()


def test_the_readmes_test_command_is_the_one_that_a_change_must_pass():
    """Defect: it ran 2,200 tests in one process. `.ci/run` takes the first such line of the README."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [command] = re.findall(r"(?m)^ *(pip install uv && uv run pytest.*)$", readme)
    assert command.endswith("-n auto --dist worksteal")


def test_a_machine_of_many_cores_has_few_workers(monkeypatch):
    """Defect: as many processes with torch as there are cores, on whatever memory."""
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    for cores, workers in ((1, 1), (2, 2), (64, conftest.MOST_WORKERS)):
        monkeypatch.setattr(
            os, "sched_getaffinity", lambda _, n=cores: set(range(n)), raising=False
        )
        assert conftest.pytest_xdist_auto_num_workers(None) == workers
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "9")
    assert conftest.pytest_xdist_auto_num_workers(None) is None
