"""What a comparison found: `report(results, warmups, command, baselines)` gives README.md and index.html.

Tables first, then curves. Ties are called ties, crashes are listed with how they ended and enter no mean, and
budgets that differ are said to differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from amft_mm.compare.conditions import (
    CLEAN,
    conditions_table,
    differences_table,
    losses_table,
    under_conditions,
)
from amft_mm.compare.figures import conditions_figure, curves_figure
from amft_mm.compare.page import BASELINE, Part, Table, markdown_of, page_of
from amft_mm.compare.result import Result
from amft_mm.compare.selecting import (
    Before,
    begun_with,
    by_seed,
    conditions_of,
    curves_of,
    methods_of,
    sampled,
    settings_of,
)
from amft_mm.compare.statistics import (
    Estimate,
    area,
    difference,
    flattened,
    improves,
    mean_of,
    mean_ranks,
)

CONDITIONS = (
    "Success on the first split, with mu at the end. A method that uses no demonstrations, or no rewards, "
    "is not run again where only these are changed."
)
LOSSES = (
    "What choosing a method may cost: the most that it loses to another of these under a condition."
)
SAMPLED = "Of episodes as training plays them, sampled, in the last quarter of its steps, on the same tasks:"
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
) -> Report:
    """`baselines` are the methods that the others are compared with, where they were run; `planned` is what
    was known before."""
    before = {(w.env, w.seed): w for w in warmups}
    finished = [begun(r, before) for r in results if r.state == "finished"]
    parts: list[Part] = [("# Methods compared", None), (_introduction(results, command), None)]
    parts += planned
    figures: dict[str, str] = {}
    for env in dict.fromkeys(r.env for r in finished):
        own = [r for r in results if r.env == env]
        if len(conditions_of(own)) > 1:
            parts += _told_of_conditions(own, before, baselines, figures)
    for setting in settings_of(finished):
        own = [r for r in finished if (r.env, r.condition) == setting]
        parts += _told_of_one(own, before, baselines, figures)
    parts.append(("## All together", together_table(finished, baselines)))
    crashes = [r for r in results if r.state != "finished"]
    parts.append((_crash_words(crashes), None))
    return Report(markdown_of(parts), page_of(parts, figures), figures)


def _told_of_conditions(
    results: Sequence[Result],
    before: Before,
    baselines: Sequence[str],
    figures: dict[str, str],
) -> list[Part]:
    """Of all runs on an environment; figures are added to the others."""
    env, found = results[0].env, under_conditions(results, before)
    finished = [r for r in results if r.state == "finished"]
    parts: list[Part] = [
        (f"## {env}: what conditions change", None),
        (_before_words(finished, before), None),
        (CONDITIONS, conditions_table(results, found)),
        (LOSSES, losses_table(results)),
    ]
    for baseline in (b for b in baselines if b in found):
        parts.append(("Differences:", differences_table(results, baseline, by_seed)))
        if sampled(results, baseline):
            parts.append((SAMPLED, differences_table(results, baseline, sampled)))
    name = f"{env}-conditions.svg"
    figures[name] = conditions_figure(found, conditions_of(results), env)
    return [*parts, (f"![what conditions change](figures/{name})", name)]


def _told_of_one(
    results: Sequence[Result],
    before: Before,
    baselines: Sequence[str],
    figures: dict[str, str],
) -> list[Part]:
    """Of the runs on an environment under a condition; figures are added to the others."""
    env, condition = results[0].env, results[0].condition
    title = env if condition == CLEAN else f"{env}, {condition}"
    baselines = [b for b in baselines if b in methods_of(results)]
    parts: list[Part] = [
        (f"## {title}", None),
        (f"{_before_words(results, before)} {_curve_words(results)}".strip(), None),
        ("", success_table(results, before, baselines)),
    ]
    if any(sampled(results, m) for m in methods_of(results)):
        parts.append((SAMPLED, sampled_table(results, baselines)))
    parts.append(("What it took:", budget_table(results)))
    parts.append((_budget_words(results), None))
    for key, caption in CURVES.items():
        curves = {m: lines for m in methods_of(results) if (lines := curves_of(results, m, key))}
        if curves and not (key == "success" and any("gained" in r.curves for r in results)):
            name = f"{env}-{condition}-{key}.svg".replace(" ", "-").replace("%", "")
            figures[name] = curves_figure(curves, f"{title}: {caption}", baselines)
            parts.append((f"![{caption}, {title}](figures/{name})", name))
    return parts


def begun(result: Result, before: Before) -> Result:
    """With what its warm-up came to as the first point of its curve, and a curve of what it gained since."""
    warmup, own = before.get((result.env, result.seed)), result.curves.get("success")
    if warmup is None or not own:
        return result
    whole = [*warmup.curves.get("success", [])[-1:], *own]
    gained = [(step, 100 * (value - whole[0][1])) for step, value in whole]
    return replace(result, curves={**result.curves, "success": whole, "gained": gained})


def success_table(results: Sequence[Result], before: Before, baselines: Sequence[str]) -> Table:
    splits = list(results[0].scores)
    first_scores = begun_with(results, before, splits[0])
    heads = ["method", *(f"over {b}" for b in baselines)]
    heads += (["gained"] if first_scores else []) + [f"{split}, %" for split in splits]
    heads += ["area under the curve", "learnt at"]
    rows, order = [], {}
    for method in methods_of(results):
        own = by_seed(results, method, splits[0])
        gained = difference(own, first_scores)
        # Seeds begin with more or less success, and some methods have more of them.
        order[method] = (gained or mean_of(own)).mean
        row = [method]
        for baseline in baselines:
            over = difference(own, by_seed(results, baseline, splits[0]))
            row.append(_over(over) if method != baseline else BASELINE)
        if first_scores:
            row.append(_over(gained))
        row += [mean_of(by_seed(results, method, split)).as_share() for split in splits]
        areas = [area(points) for points in curves_of(results, method, "success")]
        row.append(f"{100 * np.mean(areas):.1f}" if areas else "")
        choice = next(r.choice for r in results if r.method == method)
        row.append(", ".join(f"{n.rsplit('.', 1)[-1]} {v:g}" for n, v in choice.items()))
        rows.append(row)
    return heads, sorted(rows, key=lambda row: -order[row[0]])


def sampled_table(results: Sequence[Result], baselines: Sequence[str]) -> Table:
    scores = {m: found for m in methods_of(results) if (found := sampled(results, m))}
    rows = []
    means = {m: mean_of(own).mean for m, own in scores.items()}
    for method, own in sorted(scores.items(), key=lambda item: -means[item[0]]):
        row = [method]
        for baseline in baselines:
            over = difference(own, scores.get(baseline, {}))
            row.append(_over(over) if method != baseline else BASELINE)
        rows.append([*row, f"{100 * means[method]:.1f}"])
    return ["method", *(f"over {b}" for b in baselines), "sampled, %"], rows


def _over(found: Estimate | None) -> str:
    return found.as_difference() if found else ""


def budget_table(results: Sequence[Result]) -> Table:
    names = list(results[0].totals)
    heads = ["method", "seeds", *names]
    rows = []
    for method in methods_of(results):
        own = [r for r in results if r.method == method]
        totals = [f"{np.mean([r.totals[name] for r in own]):,.0f}" for name in names]
        rows.append([method, str(len(own)), *totals])
    return heads, rows


def together_table(results: Sequence[Result], baselines: Sequence[str]) -> Table:
    """Over all environments and conditions: mean rank, and chance of improvement."""
    heads = ["method", "mean rank"]
    baselines = [b for b in baselines if b in methods_of(results)]
    heads += [f"chance to beat {b}" for b in baselines]
    groups = settings_of(results)
    ranks: dict[str, list[float]] = {}
    chances: dict[tuple[str, str], list[float]] = {}
    for group in groups:
        own = [r for r in results if (r.env, r.condition) == group]
        first = {m: by_seed(own, m) for m in methods_of(own)}
        for method, rank in mean_ranks(first).items():
            ranks.setdefault(method, []).append(rank)
        for baseline in baselines:
            for method in first:
                if baseline not in first or method == baseline:
                    continue
                chance = improves(first[method], first[baseline])
                if chance is not None:
                    chances.setdefault((method, baseline), []).append(chance)
    rows = []
    for method in sorted(ranks, key=lambda m: float(np.mean(ranks[m]))):
        row = [method, f"{np.mean(ranks[method]):.1f} (of {len(ranks)})"]
        for baseline in baselines:
            known = chances.get((method, baseline))
            row.append(f"{np.mean(known):.0%}" if known else BASELINE * (method == baseline))
        rows.append(row)
    return heads, rows


def _introduction(results: Sequence[Result], command: str) -> str:
    seeds = {m: len({r.seed for r in results if r.method == m}) for m in methods_of(results)}
    counts = ", ".join(f"{m} {n}" for m, n in seeds.items())
    episodes = {s.episodes for r in results for s in r.scores.values()}
    return (
        f"Made by `{command}`: {len(results)} runs. Every method of an environment begins with the same "
        "warm-up of its seed, has the same number of optimizer steps, episodes and demonstrations a step, "
        "and its own learning rate, found by trials with another seed and split.\n\n"
        f"Seeds: {counts}. Success is greedy, over {', '.join(map(str, sorted(episodes)))} episodes of each "
        "split; in brackets are 95 % bootstrap intervals over seeds and episodes. What a method has over a "
        "baseline comes first, in points, over the same seeds; where its interval holds 0 it is a tie. A "
        "mean over other seeds is no comparison: methods are ordered by what they gained, and chances to "
        "beat another are shares of the seeds that both have."
    )


def _before_words(results: Sequence[Result], before: Before) -> str:
    shares = [
        f"{split} {mean_of(known).as_share()} %"
        for split in results[0].scores
        if (known := begun_with(results, before, split))
    ]
    return f"All begin with {', '.join(shares)}." if shares else ""


def _curve_words(results: Sequence[Result]) -> str:
    longest = max((len(r.curves.get("success", [])) for r in results), default=0)
    if longest < 3:
        return "Evaluated at the end alone."
    rising = [
        method
        for method in methods_of(results)
        if any(not flattened(points) for points in curves_of(results, method, "success"))
    ]
    if not rising:
        return "All curves have flattened: the last quarter of the steps gained less than 2 points."
    return (
        f"Still rising in the last quarter of the steps, for a seed at least: {', '.join(rising)}."
    )


def _budget_words(results: Sequence[Result]) -> str:
    """Which methods use fewer or more tokens than most."""
    sentences = []
    for name in ("demonstration tokens", "generated tokens"):
        means = {
            m: float(np.mean([r.totals[name] for r in results if r.method == m]))
            for m in methods_of(results)
        }
        usual = float(np.median([v for v in means.values() if v > 0] or [0.0]))
        apart = [
            f"{m} {v / usual:.0%}" for m, v in means.items() if usual and not 0.9 < v / usual < 1.1
        ]
        sentences.append(
            f"{name.capitalize()} differ from the median of {usual:,.0f} for {', '.join(apart)}."
            if apart
            else f"{name.capitalize()} are equal within a tenth."
        )
    return " ".join(sentences)


def _crash_words(crashes: Sequence[Result]) -> str:
    if not crashes:
        return "No run crashed."
    crashed = "\n".join(f"- {r.name}: {r.as_text()}" for r in crashes)
    return f"Crashed, and in no mean:\n\n{crashed}"
