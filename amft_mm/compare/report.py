"""What a comparison found: `report(results, warmups, command, baselines)` gives README.md and index.html.

Tables first, then curves. Ties are called ties, crashes are listed with how they ended and enter no mean, and
budgets that differ are said to differ. What the tables hold stands in tables.py and conditions.py, what is
said beside them in words.py, how a page shows them in page.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from amft_mm.compare.conditions import (
    conditions_table,
    differences_table,
    losses_table,
    title_of,
    under_conditions,
)
from amft_mm.compare.figures import conditions_figure, curves_figure, splits_figure
from amft_mm.compare.page import HERE, Links, page_of
from amft_mm.compare.parts import Curves, Part, markdown_of
from amft_mm.compare.result import ELSEWHERE, Result
from amft_mm.compare.selecting import (
    Before,
    beginning_of,
    by_name,
    by_seed,
    conditions_of,
    curves_of,
    file_name,
    methods_of,
    most_tries,
    on_shared_splits,
    on_the_way,
    sampled,
    settings_of,
)
from amft_mm.compare.tables import (
    apart_table,
    budget_table,
    flawless_table,
    glance_table,
    passes_table,
    sampled_table,
    success_table,
    together_table,
)
from amft_mm.compare.verdicts import ONCE, Verdicts
from amft_mm.compare.words import (
    CONDITIONS,
    COST,
    FLAWLESS,
    GLANCE,
    LOSSES,
    SAMPLED,
    before_words,
    budget_words,
    crash_words,
    curve_words,
    introduction,
    passes_words,
)

CURVES = {
    "gained": "points gained since the warm-up",
    "success": "success",
    "mu": "mu",
    "entropy": "entropy a token",
}


@dataclass(frozen=True)
class Report:
    """Texts, and figures by file name."""

    markdown: str
    page: str
    figures: dict[str, str]


def report(
    results: Sequence[Result],
    warmups: Sequence[Result],
    command: str,
    baselines: Sequence[str],
    planned: Sequence[Part] = (),
    links: Links = HERE,
    trials: Sequence[Result] = (),
    verdicts: Verdicts = ONCE,
) -> Report:
    """`baselines` are the methods that the others are compared with, where they were run; `planned` is what
    was known before; `links` are where the page finds what it leads to; `trials` are what was searched by;
    `verdicts` say how sure a difference has to be."""
    before = by_name(warmups)
    results, left = on_shared_splits(results)
    finished = [begun(r, before) for r in results if r.state == "finished"]
    parts: list[Part] = [
        ("# Methods compared", None),
        (introduction(results, trials, command, verdicts), None),
    ]
    if left:
        words = f"Left out, since not all runs were evaluated on them: {', '.join(left)}."
        parts.append((words, None))
    if finished:
        parts += [("## At a glance", None), (GLANCE, glance_table(results))]
    parts += planned
    figures: dict[str, str] = {}
    for env in dict.fromkeys(r.env for r in finished):
        own = [r for r in results if r.env == env]
        if len(conditions_of(own)) > 1:
            parts += _told_of_conditions(own, before, baselines, figures, verdicts)
    for setting in settings_of(finished):
        own = [r for r in finished if (r.env, r.condition) == setting]
        parts += _told_of_one(own, before, baselines, figures, verdicts)
    parts.append(("## All together", together_table(finished, baselines)))
    parts.append((crash_words([r for r in results if r.state != "finished"]), None))
    drawn = [more for _, more in parts if isinstance(more, Curves)]
    figures |= {curves.name: curves_figure(curves) for curves in drawn}
    return Report(markdown_of(parts), page_of(parts, links, figures), figures)


def _told_of_conditions(
    results: Sequence[Result],
    before: Before,
    baselines: Sequence[str],
    figures: dict[str, str],
    verdicts: Verdicts,
) -> list[Part]:
    """Of all runs on an environment; figures are added to the others."""
    env, found = results[0].env, under_conditions(results, before)
    finished = [r for r in results if r.state == "finished"]
    parts: list[Part] = [
        (f"## {env}: what conditions change", None),
        (before_words(finished, before), None),
        (CONDITIONS, conditions_table(results, found)),
        (LOSSES, losses_table(results)),
    ]
    for baseline in (b for b in baselines if b in found):
        parts.append(("Differences:", differences_table(results, baseline, by_seed, verdicts)))
        if sampled(results, baseline):
            parts.append((SAMPLED, differences_table(results, baseline, sampled, verdicts)))
    name = f"{env}-conditions.svg"
    figures[name] = conditions_figure(found, conditions_of(results), env)
    return [*parts, (f"![what conditions change](figures/{name})", name)]


def _told_of_one(
    results: Sequence[Result],
    before: Before,
    baselines: Sequence[str],
    figures: dict[str, str],
    verdicts: Verdicts,
) -> list[Part]:
    """Of the runs on an environment under a condition; a figure is added to the others where several splits
    were evaluated on the way."""
    title = title_of(results[0].env, results[0].condition)
    baselines = [b for b in baselines if b in methods_of(results)]
    parts: list[Part] = [
        (f"## {title}", None),
        (f"{before_words(results, before)} {curve_words(results)}".strip(), None),
        ("", success_table(results, before, baselines, verdicts)),
    ]
    if (at_once := flawless_table(results)) is not None:
        parts.append((FLAWLESS, at_once))
    if any(sampled(results, m) for m in methods_of(results)):
        parts.append((SAMPLED, sampled_table(results, baselines, verdicts)))
    if tries := most_tries(results):
        parts.append((passes_words(tries), passes_table(results, before, baselines, verdicts)))
    for baseline in baselines:
        if (told := apart_table(results, baseline, verdicts)) is not None:
            parts.append((f"In points over {baseline}, on each split:", told))
    parts.append((COST, budget_table(results)))
    parts.append((budget_words(results), None))
    splits = on_the_way(results)
    if splits:
        name = f"{file_name(results[0].env, results[0].condition, 'splits')}.svg"
        first = next(iter(results[0].scores))
        figures[name] = splits_figure(results, {"success": first, **splits}, title)
        parts.append((f"![success on each split](figures/{name})", name))
    captions = CURVES | {key: key for key in splits}
    return parts + _curves(results, title, baselines, captions)


def _curves(
    results: Sequence[Result],
    title: str,
    baselines: Sequence[str],
    captions: Mapping[str, str],
) -> list[Part]:
    """`captions` say of each curve what it is."""
    env, condition, parts = results[0].env, results[0].condition, list[Part]()
    for key, caption in captions.items():
        lines = {m: own for m in methods_of(results) if (own := curves_of(results, m, key))}
        if lines and not (key == "success" and any("gained" in r.curves for r in results)):
            name = f"{file_name(env, condition, key)}.svg"
            each_seed = key == "mu"
            always = [] if each_seed else baselines
            parts.append(("", Curves(name, f"{title}: {caption}", lines, always, each_seed)))
    return parts


def begun(result: Result, before: Before) -> Result:
    """With what its warm-up came to as the first point of its curve, and a curve of what it gained since."""
    warmup, own = before.get(beginning_of(result)), result.curves.get("success")
    first = next(iter(result.scores))
    last = warmup.curves.get("success") if warmup else None
    if warmup is None or not last or not own or first not in warmup.scores:
        return result
    whole = [(last[-1][0], warmup.scores[first].success), *own]
    gained = [(step, 100 * (value - whole[0][1])) for step, value in whole]
    elsewhere = {
        ELSEWHERE + split: [(whole[0][0], score.success), *result.curves[ELSEWHERE + split]]
        for split, score in warmup.scores.items()
        if ELSEWHERE + split in result.curves
    }
    curves = {**result.curves, **elsewhere, "success": whole, "gained": gained}
    return replace(result, curves=curves)
