"""Where the suite's assets lie: beside the packages, in a checkout and in an installed wheel alike."""

from pathlib import Path

ASSETS = Path(__file__).resolve().parent.parent / "assets"


def asset(*parts: str) -> Path:
    """The path of an asset; an error that names it where it is missing."""
    path = ASSETS.joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(f"asset {'/'.join(parts)} is missing: expected it at {path}")
    return path
