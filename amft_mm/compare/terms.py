"""On which terms methods met, in words: `terms(results, trials)`, a paragraph for each environment.

How many steps each made, which settings some have of their own, what was searched for whom: as the runs and
their trials were given it, whatever is usual. What a method is made of (`method.NAME`) is not told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from amft_mm.compare.grid import brief
from amft_mm.compare.result import Result
from amft_mm.compare.selecting import methods_of, settings_of

OF_A_RUN = ("env", "method", "seed", "demos.seed", "demos.folder", "train.warm_from")
"""Settings that name a run and what it begins with."""
Tried = Mapping[str, Mapping[str, Sequence[Any]]]
"""By method and setting, the values that trials were made with, where these are several."""


def terms(results: Sequence[Result], trials: Sequence[Result]) -> str:
    paragraphs = []
    for env in dict.fromkeys(r.env for r in results):
        own = [r for r in results if r.env == env]
        tried = tried_of([t for t in trials if t.env == env])
        sentences = steps_words(own), own_words(own, tried), search_words(methods_of(own), tried)
        paragraphs.append(f"{env}: {' '.join(filter(None, sentences))}")
    return "\n\n".join(paragraphs)


def tried_of(trials: Iterable[Result]) -> Tried:
    found: dict[str, dict[str, list[Any]]] = {}
    for trial in trials:
        for name, value in trial.choice.items():
            values = found.setdefault(trial.method, {}).setdefault(name, [])
            if value not in values:
                values.append(value)
    return {
        method: {name: values for name, values in own.items() if len(values) > 1}
        for method, own in found.items()
    }


def steps_words(results: Sequence[Result]) -> str:
    """Of those that finished."""
    made: dict[str, list[int]] = {}
    for result in results:
        if result.state == "finished":
            made.setdefault(result.method, []).append(int(result.totals["optimizer steps"]))
    told = {m: " to ".join(map(str, sorted({min(n), max(n)}))) for m, n in made.items()}
    if not told:
        return ""
    usual = _most_common(told.values())
    others = ", ".join(f"{m} {n}" for m, n in told.items() if n != usual)
    return f"{usual} optimizer steps, but {others}." if others else f"{usual} optimizer steps each."


def own_words(results: Sequence[Result], tried: Tried) -> str:
    """Settings in which methods differ under the same condition, those that were searched aside."""
    own: dict[str, dict[str, str]] = {}
    for env, condition in settings_of(results):
        given = {r.method: _given(r) for r in results if (r.env, r.condition) == (env, condition)}
        for name in dict.fromkeys(name for settings in given.values() for name in settings):
            fixed = {
                m: settings.get(name)
                for m, settings in given.items()
                if name not in tried.get(m, {})
            }
            usual = _most_common(fixed.values()) if len(fixed) == len(given) else object()
            for method, value in fixed.items():
                if value != usual:
                    text = f"{name} as the recipe has it" if value is None else f"{name}={value}"
                    own.setdefault(method, {})[name] = text
    if not own:
        return "No method has other settings of training than the rest."
    told = ", ".join(f"{method} ({', '.join(texts.values())})" for method, texts in own.items())
    return f"With settings of its own: {told}. All else is the same for all."


def search_words(methods: Sequence[str], tried: Tried) -> str:
    for_whom: dict[tuple[str, str], list[str]] = {}
    for method in methods:
        for name, values in tried.get(method, {}).items():
            for_whom.setdefault((name, _listed(values)), []).append(method)
    if not for_whom:
        return "Nothing was searched, no learning rate either: settings are those of recipe and command."
    told = "; ".join(
        f"{name} among {among} for {'each' if own == list(methods) else ', '.join(own)}"
        for (name, among), own in for_whom.items()
    )
    return f"Searched, by trials with another seed and split: {told}."


def _given(result: Result) -> dict[str, str]:
    pairs = (word.lstrip("+").partition("=") for word in result.settings)
    return {
        name: value
        for name, _, value in pairs
        if name not in OF_A_RUN and not name.startswith("method.")
    }


def _listed(values: Sequence[Any]) -> str:
    """Numbers in their order, names in that of the trials."""
    numbers = all(isinstance(value, int | float) for value in values)
    return ", ".join(map(brief, sorted(values) if numbers else values))


def _most_common(values: Iterable[Any]) -> Any:
    """The first of equals."""
    return Counter(values).most_common(1)[0][0]
