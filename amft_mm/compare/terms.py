"""On which terms methods met, in words: `terms(results, trials)`, a paragraph for each environment.

How many steps each made, which settings some have of their own, which explore otherwise, what was searched
for whom, whose best lies at an edge, which trials crashed: as the runs and their trials were given it, even
what is usual. Of what a method is made of (`method.NAME`) it is told by what it explores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from amft_mm.compare.grid import UNLEARNT, brief
from amft_mm.compare.result import Result
from amft_mm.compare.searching import edge
from amft_mm.compare.selecting import methods_of, settings_of
from amft_mm.methods.presets import methods

OF_A_RUN = ("env", "method", "seed", "demos.seed", "demos.folder", "train.warm_from")
"""Settings that name a run and what it begins with."""
Tried = Mapping[str, Mapping[str, Sequence[Any]]]
"""By method and setting, the values of trials that finished, where these are several."""
EXPLORING = {
    "method.exploration.name": "loss",
    "method.exploration.clip": "clip",
    "method.exploration.clip_low": "clip below",
    "method.exploration.clip_high": "clip above",
    "method.exploration.dual": "dual clip",
    "method.credit.credit": "credit by",
    "method.credit.baseline": "over",
    "method.credit.gamma": "discount",
    "method.minibatches": "minibatches",
    "method.epochs": "epochs",
}
"""What methods may explore by, beside what weighs it against imitation, and how that is told."""


def terms(results: Sequence[Result], trials: Sequence[Result]) -> str:
    paragraphs = []
    for env in dict.fromkeys(r.env for r in results):
        own = [r for r in results if r.env == env]
        tried = tried_of([t for t in trials if t.env == env])
        sentences = (
            steps_words(own),
            own_words(own, tried),
            exploring_words(own),
            search_words(methods_of(own), tried),
            edge_words(own, tried),
            crashed_trials([t for t in trials if t.env == env]),
        )
        paragraphs.append(f"{env}: {' '.join(filter(None, sentences))}")
    return "\n\n".join(paragraphs)


def tried_of(trials: Iterable[Result]) -> Tried:
    found: dict[str, dict[str, list[Any]]] = {}
    for trial in trials:
        if trial.state != "finished":
            continue
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
    return f"With settings of its own: {told}. All else is the same for all, but what methods are made of."


def exploring_words(results: Sequence[Result]) -> str:
    """Who explores otherwise than most, or makes more updates of a step than its recipe has it."""
    whole = {r.method: r for r in reversed(results)}
    made = {m: _explores_by(whole[m]) for m in methods_of(results)}
    known = {method: words for method, words in made.items() if words}
    if len(set(known.values())) < 2:
        return "All explore alike." if len(known) > 1 else ""
    usual = _most_common(known.values())
    others: dict[str, list[str]] = {}
    for method, words in known.items():
        if words != usual:
            others.setdefault(words, []).append(method)
    told = "; ".join(f"{', '.join(own)}: {words}" for words, own in others.items())
    return f"Exploration: {usual}, but {told}."


def edge_words(results: Sequence[Result], tried: Tried) -> str:
    chosen = {r.method: r.choice for r in reversed(results)}
    told = [
        f"{method} ({name} {brief(value)}, the {which})"
        for method in methods_of(results)
        for name, value in chosen[method].items()
        if (which := edge(value, tried.get(method, {}).get(name, [])))
    ]
    return f"At the edge of what was searched lies the best of {', '.join(told)}." if told else ""


def crashed_trials(trials: Sequence[Result]) -> str:
    crashes = [trial for trial in trials if trial.state != "finished"]
    if not crashes:
        return ""
    told = "; ".join(f"{t.method} {_chosen(t)} {t.as_text()}" for t in crashes)
    return f"{len(crashes)} of {len(trials)} trials crashed: {told}."


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
        if name not in OF_A_RUN and not name.startswith(("method.", *UNLEARNT))
    }


def _explores_by(result: Result) -> str:
    """Empty for what explores nothing, or is of no preset known here."""
    pairs = dict(word.lstrip("+").split("=", 1) for word in result.settings if "=" in word)
    preset = methods().get(pairs.get("method", ""))
    if preset is None or preset["balance"]["name"] == "sft":
        return ""
    own = preset["exploration"]
    loss = pairs.get("method.exploration.name", own["name"])
    parts: dict[str, Any] = {f"method.credit.{name}": v for name, v in preset["credit"].items()}
    parts |= {
        f"method.{name}": v for name, v in preset.items() if name in ("minibatches", "epochs")
    }
    if loss == own["name"]:  # another comes with its own defaults
        told = (f"method.exploration.{name}" for name in own)
        parts |= {name: own[name.rpartition(".")[2]] for name in told if name in EXPLORING}
    parts |= {"method.exploration.name": loss, **pairs}
    words = [
        f"{called} {parts[name]}"
        for name, called in EXPLORING.items()
        if parts.get(name) not in (None, "null")
    ]
    return ", ".join(words)


def _chosen(result: Result) -> str:
    return ", ".join(f"{name}={brief(value)}" for name, value in result.choice.items())


def _listed(values: Sequence[Any]) -> str:
    """Numbers in their order, names in that of the trials."""
    numbers = all(isinstance(value, int | float) for value in values)
    return ", ".join(map(brief, sorted(values) if numbers else values))


def _most_common(values: Iterable[Any]) -> Any:
    """The first of equals."""
    return Counter(values).most_common(1)[0][0]
