"""The rules of the house that a reader cannot see at a glance."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = {
    "envs": {"torch", "transformers", "agents", "amft_mm"},
    "agents": {"amft_mm"},
}


def imported_packages(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_never_reach_up_the_house(package):
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        reached = imported_packages(path) & FORBIDDEN[package]
        assert not reached, f"{path.relative_to(ROOT)} imports {reached}"


def run_python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def test_importing_the_worlds_and_making_them_loads_no_torch(tmp_path):
    code = (
        "import sys, gymnasium, envs\n"
        "for name in ('GeneralPoints', 'VIRL', 'Math'):\n"
        "    gymnasium.make(f'amft/{name}-v0').reset(seed=0)\n"
        "assert 'torch' not in sys.modules\n"
    )
    result = run_python(code, tmp_path)
    assert result.returncode == 0, result.stderr


def test_gymnasium_makes_the_worlds_without_an_import(tmp_path):
    code = "import gymnasium; gymnasium.make('amft/GeneralPoints-v0').reset(seed=0)"
    result = run_python(code, tmp_path)
    assert result.returncode == 0, result.stderr
