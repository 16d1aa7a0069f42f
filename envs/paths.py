"""Where the suite's data lies: at the root of a checkout, and below `amft_mm` in an installed wheel.

A wheel puts no folder called `assets` or `configs` at the top of site-packages, where every
distribution's files meet: see `[tool.hatch.build.targets.wheel.sources]` in pyproject.toml.
"""

from pathlib import Path

_BESIDE = Path(__file__).resolve().parent.parent
_IN_A_WHEEL = _BESIDE / "amft_mm" / "_data"


def data_folder(name: str) -> Path:
    """The folder of this name that ships with the suite: `assets` or `configs`."""
    return (_IN_A_WHEEL if _IN_A_WHEEL.is_dir() else _BESIDE) / name


def asset(*parts: str) -> Path:
    """The path of an asset; an error that names it where it is missing."""
    path = data_folder("assets").joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(f"asset {'/'.join(parts)} is missing: expected it at {path}")
    return path
