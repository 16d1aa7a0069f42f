"""A report made again from what a comparison left, and nothing trained: `render=true out=FOLDER`.

    found_in(config, tell)   -> what the JSON files under FOLDER say (runs/, warm/, trials/)

Which runs it is of says `only={envs:[...],methods:[...],conditions:[...]}`, each in its order; without, all
that are there. Files are data of others: what an older version wrote is read as far as it says enough, and
what cannot be read is named and left out. No setting of today has to agree with those that runs were made by.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from amft_mm.compare.grid import WARM
from amft_mm.compare.kept import RUNS, results_in
from amft_mm.compare.result import Result
from envs.contract import one_of

KINDS = {"envs": "env", "conditions": "condition", "methods": "method"}
"""In the order that a comparison makes them."""
MADE = re.compile(r"Made by `([^`\n]+)`")


@dataclass(frozen=True)
class Found:
    """What a report is of."""

    runs: list[Result]
    warmups: list[Result]
    trials: list[Result]


def found_in(config: DictConfig, tell: Callable[[str], None]) -> Found:
    """The results in the folder of a comparison that `only` asks for."""
    out, only = Path(config.out), _asked(config)
    runs = _selected(results_in(out, RUNS, tell), only)
    if not runs:
        raise FileNotFoundError(
            f"out={out}: there are no runs of a comparison that can be read (runs/ENV/CONDITION/METHOD/SEED"
            f".json){' and that only= asks for' if only else ''}"
        )
    envs, methods = {r.env for r in runs}, {r.method for r in runs}
    warmups = [w for w in results_in(out, f"{WARM}/*.json", tell) if w.env in envs]
    trials = results_in(out, "trials/*/*/*.json", tell)
    return Found(runs, warmups, [t for t in trials if t.env in envs and t.method in methods])


def command_of(folder: Path, today: str) -> str:
    """That which made the runs, as the report that lies there has it; else that of today."""
    path = folder / "README.md"
    made = MADE.search(path.read_text(encoding="utf-8")) if path.is_file() else None
    return made[1] if made else today


def _asked(config: DictConfig) -> dict[str, list[str]]:
    only = OmegaConf.to_container(config.only, resolve=True) or {}
    if not isinstance(only, dict):
        raise ValueError(f"only={config.only}: give lists, as only={{envs:[math]}}")
    for name, names in only.items():
        one_of("only", str(name), tuple(KINDS))
        if not isinstance(names, list):
            raise ValueError(f"only.{name!s}={names}: give a list, as only={{{name!s}:[{names}]}}")
    return {str(name): [str(one) for one in names] for name, names in only.items()}


def _selected(results: Iterable[Result], only: dict[str, list[str]]) -> list[Result]:
    """In the order that was asked for."""
    found = list(results)
    for name in reversed(KINDS):
        if name in only:
            known = tuple(dict.fromkeys(getattr(r, KINDS[name]) for r in found))
            for one in only[name]:
                one_of(f"only.{name}", one, known)
            own = [r for r in found if getattr(r, KINDS[name]) in only[name]]
            found = sorted(own, key=lambda r: only[name].index(getattr(r, KINDS[name])))
    return found
