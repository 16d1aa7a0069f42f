"""Models that several tests share: one policy a family, built once."""

import pytest

from agents.policy import Policy
from tests.agents.families import FAMILIES, build_family


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
