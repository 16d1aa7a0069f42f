"""What a comparison left in its folder: results of others, that may be damaged or of another version."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from amft_mm.compare.grid import WARM, warm_up_name
from amft_mm.compare.result import UNREADABLE, Result, result_from
from amft_mm.runs.metrics import plain_json

RUNS = "runs/*/*/*/*.json"


def results_in(out: Path, pattern: str, tell: Callable[[str], None]) -> list[Result]:
    """Those that can be read; `tell` hears why of each that cannot."""
    found = []
    for path in sorted(out.glob(pattern)):
        try:
            result = result_from(plain_json(path.read_text(encoding="utf-8")))
            if problem := _elsewhere(result, path.relative_to(out).with_suffix("")):
                raise ValueError(problem)
            found.append(result)
        except (*UNREADABLE, OSError) as error:
            tell(f"{path} cannot be read and is left out: {type(error).__name__}: {error!s:.200}")
    return found


def _elsewhere(result: Result, path: Path) -> str:
    """What it says must be what its place says, since files are named by it."""
    kind, *place = path.parts
    names = [result.env, result.condition, result.method, str(result.seed)]
    if kind == "trials":
        names, place = [result.env, result.method], place[:2]
    elif kind == WARM:
        names = [warm_up_name(result.env, result.condition, result.seed)]
    return "" if names == place else f"it says that it is of {'/'.join(map(str, names))}"
