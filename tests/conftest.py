"""Models that several tests share, one policy a family, built once; how many workers there are."""

import os

import pytest

from agents.policy import Policy
from tests.agents.families import FAMILIES, build_family

MOST_WORKERS = 4
"""Of `-n auto`. Each loads torch and models, and a process beside it that commands are forked from: above a
gigabyte a worker, so that as many as a large machine has cores may be more than its memory holds."""


@pytest.hookimpl(optionalhook=True)  # pytest runs without xdist too
def pytest_xdist_auto_num_workers(config):
    """One for each core that this process may use, to MOST_WORKERS; `-n 16` is 16 all the same."""
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None  # xdist's own answer
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
    return min(len(usable), MOST_WORKERS)


@pytest.fixture(scope="session")
def family_folders(tmp_path_factory):
    folders = {}
    for family in FAMILIES:
        folders[family] = tmp_path_factory.mktemp(family)
        build_family(family, folders[family])
    return folders


@pytest.fixture(scope="session")
def policies(family_folders):
    return {f: Policy.load(str(folder), device="cpu") for f, folder in family_folders.items()}


@pytest.fixture(scope="session")
def tiny():
    return Policy.load("tiny-random", device="cpu")
