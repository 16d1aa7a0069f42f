"""A report made again from what a comparison left, and nothing trained: `render=true out=FOLDER`.

    found_in(config, tell)           -> what the JSON files under FOLDER say (runs/, warm/, trials/)
    as_it_lies(config, today, tell)  -> the settings, with what the report that lies there shows; its commands

Which runs it is of says `only={envs:[...],methods:[...],conditions:[...]}`, each in its order; without, all
that are there. `baselines` and `only` are those of the report that lies there, where none are given. Files
are data of others: what an older version wrote is read as far as it says enough, and what cannot be read is
named and left out. No setting of today has to agree with those that runs were made by.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from amft_mm.compare.grid import WARM
from amft_mm.compare.kept import RUNS, results_in
from amft_mm.compare.result import Result
from amft_mm.config.command_line import configuration
from envs.contract import one_of

KINDS = {"envs": "env", "conditions": "condition", "methods": "method"}
"""In the order that a comparison makes them."""
SHOWN = ("baselines", "only")
"""Settings that say what a report shows of its runs; a study sets them too."""
MADE = re.compile(r"Made by `([^`\n]+)`(?: and shown by `([^`\n]+)`)?")


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


@dataclass(frozen=True)
class Commands:
    """Of a report."""

    made: str
    """That made the runs."""
    shown: str
    """That says what is shown of them: the same, unless something else was shown since."""
    again: str
    """Today's, with what it takes from the report."""

    def __str__(self) -> str:
        """Between the marks that a report puts around a command."""
        return self.made if self.shown == self.made else f"{self.made}` and shown by `{self.shown}"


def as_it_lies(
    config: DictConfig, today: str, tell: Callable[[str], None]
) -> tuple[DictConfig, Commands]:
    """What is given today is not taken from the report, and today's command is then named beside the one that
    made the runs."""
    commands = _commands_of(Path(config.out) / config.report, today)
    wanted = _not_given(config, today)
    asks = {*wanted, "study"} if "baselines" in wanted else wanted
    # A report may be anybody's: what refers to a value elsewhere is not read.
    said = [word for word in _words(commands.shown) if _name(word) in asks and "${" not in word]
    if said:
        try:
            then = configuration("compare", said)
        except ValueError as error:
            tell(f"What the report showed cannot be read, and is left out: {error}")
        else:
            config = config.copy()
            for name in wanted:
                config[name] = then[name]
    again = shlex.join([*_words(today), *said])
    given = wanted != {*SHOWN} and commands.shown != today
    return config, Commands(commands.made, again if given else commands.shown, again)


def with_others(
    commands: Commands, runs: Sequence[Result], tell: Callable[[str], None]
) -> Commands:
    """Runs of methods that the command does not name, as those of another one, are not said to be its own."""
    words = [word for word in _words(commands.shown) if _name(word) == "methods"]
    named = {
        name.strip() for word in words for name in word.partition("=")[2].strip("[]").split(",")
    }
    others = sorted({run.method for run in runs} - named) if named else []
    if others:
        tell(
            f"Shown too are {', '.join(others)}, which `{commands.shown}` does not name; "
            "only={methods:[...]} says which to show"
        )
    return replace(commands, shown=commands.again) if others else commands


def _commands_of(folder: Path, today: str) -> Commands:
    """As the report that lies there has them; else that of today."""
    path = folder / "README.md"
    found = (
        MADE.search(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else None
    )
    return Commands(found[1], found[2] or found[1], today) if found else Commands(*[today] * 3)


def _not_given(config: DictConfig, today: str) -> set[str]:
    """Of what says what a report shows, by words or by a study."""
    plain, names = configuration("compare", []), {_name(word) for word in _words(today)}
    given = names | {"baselines"} if "study" in names else names
    return {name for name in SHOWN if name not in given and config[name] == plain[name]}


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # a quotation mark that is not closed
        return []


def _name(word: str) -> str:
    """Of the setting that it gives."""
    return word.lstrip("+").partition("=")[0]


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
