"""What trials found: the best choice of each method, who has none, whose best lies at the edge.

best_of(trials, results)             by environment and method, what the runs are given
without_a_choice(trials, results)    who is left out, and why
at_edges(trials, chosen)             in sentences, whose best is the lowest or highest that was searched:
                                     beyond it may lie better, and the comparison is less than fair to it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amft_mm.compare.grid import Choice, Run, brief
from amft_mm.compare.result import Result


def best_of(trials: list[Run], results: list[Result]) -> dict[tuple[str, str], Choice]:
    """By environment and method, what did best on the validation split; the first of equals."""
    best: dict[tuple[str, str], tuple[float, Choice]] = {}
    for run, result in zip(trials, results, strict=True):
        if result.state != "finished":
            continue
        key = run.env, run.method
        if key not in best or result.first.success > best[key][0]:
            best[key] = result.first.success, run.choice
    return {key: choice for key, (_, choice) in best.items()}


def without_a_choice(trials: list[Run], results: list[Result]) -> dict[tuple[str, str], str]:
    """By environment and method whose trials all crashed, why it is left out: to take any of what was to be
    searched would be no choice."""
    ended: dict[tuple[str, str], list[Result]] = {}
    for run, result in zip(trials, results, strict=True):
        ended.setdefault((run.env, run.method), []).append(result)
    told = {}
    for (env, method), own in ended.items():
        if all(result.state != "finished" for result in own):
            why = f"all its {len(own)} trials crashed, the first by: {own[0].as_text()}"
            told[env, method] = f"{method} on {env} is left out: {why}"
    return told


def at_edges(trials: list[Run], chosen: dict[tuple[str, str], Choice]) -> list[str]:
    told = []
    for (env, method), choice in chosen.items():
        for name, value in choice.items():
            own = [t.choice[name] for t in trials if (t.env, t.method) == (env, method)]
            if which := edge(value, own):
                told.append(
                    f"{method} on {env}: the best {name} is {brief(value)}, the {which} that was searched. "
                    f"Search beyond it, by search={{{name}:[...]}}, or say that it may do better there"
                )
    return told


def edge(value: Any, searched: Sequence[Any]) -> str | None:
    """Whether a number is the lowest or the highest of several."""
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in searched):
        return None  # of switches, names and lists there is none beyond
    if len(set(searched)) < 2:
        return None
    if value == min(searched):
        return "lowest"
    return "highest" if value == max(searched) else None
