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


ROOMS = ["runs", "config", "learning", "methods", "data", "training", "evaluation"]
"""Of amft_mm, from the ground up; what is in none of them is a command or a house of its own, as is what a
room has for the command line, __main__.py."""
APART = {"compare", "replay", "pretraining"}


def imported_rooms(path: Path) -> set[str]:
    """Rooms of amft_mm that a file imports from, those inside functions included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "amft_mm":
            modules = [f"amft_mm.{alias.name}" for alias in node.names]
        else:
            modules = [getattr(node, "module", None) or ""]
        names |= {m.split(".")[1] for m in modules if m.startswith("amft_mm.")}
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_of_the_learner_import_downwards_alone(room):
    files = [p for p in (ROOT / "amft_mm" / room).rglob("*.py") if p.name != "__main__.py"]
    below = {*ROOMS[: ROOMS.index(room) + 1]}
    assert len(files) > 1
    for path in files:
        above = imported_rooms(path) - below
        assert not above, f"{path.relative_to(ROOT)} reaches up to {above}"


def test_every_room_has_its_place():
    """A new folder is put into the order, or said to be apart."""
    folders = {p.parent.name for p in (ROOT / "amft_mm").glob("*/__init__.py")}
    assert folders == {*ROOMS} | APART


def modules(package: str) -> dict[str, Path]:
    """A package's modules by their dotted names."""
    found = {}
    for path in (ROOT / package).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@pytest.mark.parametrize("package", ["envs", "agents", "amft_mm"])
def test_no_two_files_need_each_other(package):
    """Circles of imports: also those that an import inside a function hides."""
    known = modules(package)
    needs = {}
    for name, path in known.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= (inner & known.keys()) or {node.module}
        needs[name] = found & known.keys() - {name}
    for name in known:
        reached, waiting = set(), list(needs[name])
        while waiting:
            other = waiting.pop()
            if other not in reached:
                reached.add(other)
                waiting += needs[other]
        assert name not in reached, f"{name} is needed by what it imports"


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
