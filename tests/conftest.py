"""Models that several tests share, one policy a family, built once; how many workers there are.

torch is imported where it is used: pytest deals out tests, or runs those of settings, without it.
"""

import os

import pytest

from amft_mm.config.threads import cores

# Whoever runs the tests may be logged in: nothing of them is sent anywhere, and nothing is downloaded.
os.environ.pop("WANDB_API_KEY", None)
os.environ |= {"NETRC": os.devnull, "HF_HUB_OFFLINE": "1"}

MOST_WORKERS = 4
"""Of `-n auto`. Each loads torch and models, and a process beside it that commands are forked from: above a
gigabyte a worker, so that as many as a large machine has cores may be more than its memory holds."""


@pytest.hookimpl(optionalhook=True)  # pytest runs without xdist too
def pytest_xdist_auto_num_workers(config):
    """One for each core that this process may use, to MOST_WORKERS; `-n 16` is 16 all the same."""
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None  # xdist's own answer
    return min(cores(), MOST_WORKERS)


class Made(dict):
    """By name, made when it is first asked for: a worker builds the families that its tests name."""

    def __init__(self, make):
        self._make = make

    def __missing__(self, name):
        import torch

        with torch.random.fork_rng():
            self[name] = self._make(name)
        return self[name]


@pytest.fixture(scope="session")
def family_folders(tmp_path_factory):
    from tests.agents.families import build_family

    def built(family):
        folder = tmp_path_factory.mktemp(family)
        build_family(family, folder)
        return folder

    return Made(built)


SHARED = []
"""Policies that all tests of a worker have: each leaves their weights as it found them."""


def shared(name):
    from agents.policy import Policy

    SHARED.append(Policy.load(name, device="cpu"))
    return SHARED[-1]


@pytest.fixture(scope="session")
def policies(family_folders):
    return Made(lambda family: shared(str(family_folders[family])))


@pytest.fixture(scope="session")
def tiny():
    return shared("tiny-random")


@pytest.fixture(autouse=True)
def no_gradient_is_left():
    """Defect: what a test had left on shared parameters was added to the next one's."""
    yield
    for policy in SHARED:
        policy.model.zero_grad()
