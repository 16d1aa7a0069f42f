"""What a comparison found: `report(results, warmups, command, baselines)` gives README.md and index.html.

Tables first, then curves. Ties are called ties, crashes are listed with how they ended and enter no mean, and
budgets that differ are said to differ.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from amft_mm.compare.figures import Conditions, conditions_figure, conditions_of, curves_figure
from amft_mm.compare.result import Points, Result
from amft_mm.compare.statistics import (
    BySeed,
    Estimate,
    area,
    difference,
    flattened,
    improves,
    mean_of,
    mean_ranks,
)

Table = tuple[list[str], list[list[str]]]
Before = Mapping[tuple[str, int], Result]
"""The warm-ups, by environment and seed."""
CONDITIONS = (
    "Success on the first split, with mu at the end. A method that uses no demonstrations, or no rewards, "
    "is not run again where only these are changed."
)


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
) -> Report:
    """`baselines` are the methods that the others are compared with, where they were run."""
    before = {(w.env, w.seed): w for w in warmups}
    finished = [begun(r, before) for r in results if r.state == "finished"]
    parts: list[tuple[str, str | Table | None]] = []  # (heading or text, table)
    figures: dict[str, str] = {}
    parts.append(("# Methods compared", None))
    parts.append((_introduction(results, command), None))
    for env in dict.fromkeys(r.env for r in finished):
        own = [r for r in finished if r.env == env]
        if len(_settings(own)) > 1:
            name, found = f"{env}-conditions.svg", under_conditions(own)
            figures[name] = conditions_figure(found, env)
            parts.append((f"## {env}: what conditions change", None))
            parts.append((_before_words(own, before), None))
            parts.append((CONDITIONS, conditions_table(found)))
            parts.append((f"![success and mu under each condition](figures/{name})", name))
    for env, condition in _settings(finished):
        own = [r for r in finished if (r.env, r.condition) == (env, condition)]
        title = env if condition == "clean" else f"{env}, {condition}"
        parts.append((f"## {title}", None))
        parts.append((f"{_before_words(own, before)} {_curve_words(own)}".strip(), None))
        parts.append(("", success_table(own, before, baselines)))
        parts.append(("What it took:", budget_table(own)))
        parts.append((_budget_words(own), None))
        for key, told in (("success", "success"), ("mu", "mu"), ("entropy", "entropy a token")):
            curves = {m: _curves(own, m, key) for m in _methods(own)}
            curves = {m: c for m, c in curves.items() if c}
            if curves:
                name = f"{env}-{condition}-{key}.svg".replace(" ", "-").replace("%", "")
                figures[name] = curves_figure(curves, f"{title}: {told}", baselines)
                parts.append((f"![{told} of {title}](figures/{name})", name))
    parts.append(("## All together", None))
    parts.append(("", together_table(finished, baselines)))
    crashes = [r for r in results if r.state != "finished"]
    parts.append((_crash_words(crashes), None))
    return Report(_markdown(parts), _page(parts, figures), figures)


def begun(result: Result, before: Before) -> Result:
    """With what its warm-up came to as the first point of its curve."""
    warmup, own = before.get((result.env, result.seed)), result.curves.get("success")
    if warmup is None or not own:
        return result
    whole = [*warmup.curves.get("success", [])[-1:], *own]
    return replace(result, curves={**result.curves, "success": whole})


def success_table(results: Sequence[Result], before: Before, baselines: Sequence[str]) -> Table:
    splits = list(results[0].scores)
    first_scores = _begun_with(results, before, splits[0])
    heads = ["method", *(f"{split}, %" for split in splits)]
    heads += (["gained"] if first_scores else []) + ["area under the curve"]
    heads += [f"less {b}" for b in baselines if b in _methods(results)] + ["learnt at"]
    rows, order = [], {}
    for method in _methods(results):
        own = _by_seed(results, method, splits[0])
        gained = difference(own, first_scores)
        # Seeds begin with more or less success, and some methods have more of them.
        order[method] = (gained or mean_of(own)).mean
        row = [method]
        row += [_share(mean_of(_by_seed(results, method, split))) for split in splits]
        if first_scores:
            row.append(_difference(gained))
        areas = [area(points) for points in _curves(results, method, "success")]
        row.append(f"{100 * np.mean(areas):.1f}" if areas else "")
        for baseline in baselines:
            if baseline in _methods(results):
                theirs = _by_seed(results, baseline, splits[0])
                row.append("" if method == baseline else _difference(difference(own, theirs)))
        choice = next(r.choice for r in results if r.method == method)
        row.append(", ".join(f"{n.rsplit('.', 1)[-1]} {v:g}" for n, v in choice.items()))
        rows.append(row)
    return heads, sorted(rows, key=lambda row: -order[row[0]])


def under_conditions(results: Sequence[Result]) -> Conditions:
    """Of each method: (success, mu at the end) by condition, where it was run."""
    found: Conditions = {}
    for _, condition in _settings(results):
        here = [r for r in results if r.condition == condition]
        for method in _methods(here):
            ends = [points[-1][1] for points in _curves(here, method, "mu")]
            mu = float(np.mean(ends)) if ends else None
            by_seed = _by_seed(here, method, None)
            found.setdefault(method, {})[condition] = mean_of(by_seed), mu
    return found


def conditions_table(found: Conditions) -> Table:
    rows = []
    for condition in conditions_of(found):
        row = [condition]
        for of_method in found.values():
            told = of_method.get(condition)
            learnt = "" if told is None or told[1] is None else f", mu {told[1]:.2f}"
            row.append("as clean" if told is None else _share(told[0]) + learnt)
        rows.append(row)
    return ["condition", *(f"{method}, %" for method in found)], rows


def budget_table(results: Sequence[Result]) -> Table:
    names = list(results[0].totals)
    heads = ["method", "seeds", *names]
    rows = []
    for method in _methods(results):
        own = [r for r in results if r.method == method]
        totals = [f"{np.mean([r.totals[name] for r in own]):,.0f}" for name in names]
        rows.append([method, str(len(own)), *totals])
    return heads, rows


def together_table(results: Sequence[Result], baselines: Sequence[str]) -> Table:
    """Over all environments and conditions: mean rank, and chance of improvement."""
    heads = ["method", "mean rank"]
    baselines = [b for b in baselines if b in _methods(results)]
    heads += [f"chance to beat {b}" for b in baselines]
    groups = _settings(results)
    ranks: dict[str, list[float]] = {}
    chances: dict[tuple[str, str], list[float]] = {}
    for group in groups:
        own = [r for r in results if (r.env, r.condition) == group]
        first = {m: _by_seed(own, m, None) for m in _methods(own)}
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
            row.append(f"{np.mean(known):.0%}" if known else "")
        rows.append(row)
    return heads, rows


def _introduction(results: Sequence[Result], command: str) -> str:
    seeds = {m: len({r.seed for r in results if r.method == m}) for m in _methods(results)}
    counts = ", ".join(f"{m} {n}" for m, n in seeds.items())
    episodes = {s.episodes for r in results for s in r.scores.values()}
    return (
        f"Made by `{command}`: {len(results)} runs. Every method of an environment begins with the same "
        "warm-up of its seed, has the same number of optimizer steps, episodes and demonstrations a step, "
        "and its own learning rate, found by trials with another seed and split.\n\n"
        f"Seeds: {counts}. Success is greedy, over {', '.join(map(str, sorted(episodes)))} episodes of each "
        "split; in brackets are 95 % bootstrap intervals over seeds and episodes. A difference is over the "
        "same seeds; where its interval holds 0 it is a tie. A mean over other seeds is no comparison: "
        "methods are ordered by what they gained, and chances to beat another are shares of the seeds that "
        "both have."
    )


def _begun_with(results: Sequence[Result], before: Before, split: str) -> BySeed:
    seeds = {(r.env, r.seed) for r in results}
    return {w.seed: w.scores[split] for w in before.values() if (w.env, w.seed) in seeds}


def _before_words(results: Sequence[Result], before: Before) -> str:
    shares = [
        f"{split} {_share(mean_of(known))} %"
        for split in results[0].scores
        if (known := _begun_with(results, before, split))
    ]
    return f"All begin with {', '.join(shares)}." if shares else ""


def _curve_words(results: Sequence[Result]) -> str:
    longest = max((len(r.curves.get("success", [])) for r in results), default=0)
    if longest < 3:
        return "Evaluated at the end alone."
    rising = [
        method
        for method in _methods(results)
        if any(not flattened(points) for points in _curves(results, method, "success"))
    ]
    if not rising:
        return "All curves have flattened: the last quarter of the steps gained less than 2 points."
    return (
        f"Still rising in the last quarter of the steps, for a seed at least: {', '.join(rising)}."
    )


def _budget_words(results: Sequence[Result]) -> str:
    """Which methods use fewer or more tokens than most."""
    told = []
    for name in ("demonstration tokens", "generated tokens"):
        means = {
            m: float(np.mean([r.totals[name] for r in results if r.method == m]))
            for m in _methods(results)
        }
        usual = float(np.median([v for v in means.values() if v > 0] or [0.0]))
        apart = [
            f"{m} {v / usual:.0%}" for m, v in means.items() if usual and not 0.9 < v / usual < 1.1
        ]
        told.append(
            f"{name.capitalize()} differ from the median of {usual:,.0f} for {', '.join(apart)}."
            if apart
            else f"{name.capitalize()} are equal within a tenth."
        )
    return " ".join(told)


def _crash_words(crashes: Sequence[Result]) -> str:
    if not crashes:
        return "No run crashed."
    told = "\n".join(f"- {r.env}/{r.condition}/{r.method}/{r.seed}: {r.told()}" for r in crashes)
    return f"Crashed, and in no mean:\n\n{told}"


def _settings(results: Iterable[Result]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((r.env, r.condition) for r in results))


def _methods(results: Iterable[Result]) -> list[str]:
    return list(dict.fromkeys(r.method for r in results))


def _by_seed(results: Sequence[Result], method: str, split: str | None) -> BySeed:
    own = [r for r in results if r.method == method]
    return {r.seed: r.first if split is None else r.scores[split] for r in own}


def _curves(results: Sequence[Result], method: str, key: str) -> list[Points]:
    return [r.curves[key] for r in results if r.method == method and key in r.curves]


def _share(found: Estimate) -> str:
    return f"{100 * found.mean:.1f} ({100 * found.low:.0f} to {100 * found.high:.0f})"


def _difference(found: Estimate | None) -> str:
    if found is None:
        return ""
    interval = f"{100 * found.low:+.0f} to {100 * found.high:+.0f}"
    return f"{100 * found.mean:+.1f} ({interval}), {found.verdict}"


def _markdown(parts: Sequence[tuple[str, str | Table | None]]) -> str:
    told = []
    for words, table in parts:
        if words:
            told.append(words)
        if isinstance(table, tuple):
            heads, rows = table
            lines = [heads, ["---"] * len(heads), *rows]
            told.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(told) + "\n"


def _page(parts: Sequence[tuple[str, str | Table | None]], figures: dict[str, str]) -> str:
    """The same in one file that needs no other."""
    told = []
    for words, table in parts:
        if isinstance(table, str):
            told.append(f"<figure>{figures[table][figures[table].index('<svg') :]}</figure>")
        elif words.startswith("#"):
            level = len(words) - len(words.lstrip("#"))
            told.append(f"<h{level}>{html.escape(words.lstrip('# '))}</h{level}>")
        elif words:
            paragraphs = html.escape(words).split("\n\n")
            told += [f"<p>{paragraph}</p>" for paragraph in paragraphs]
        if isinstance(table, tuple):
            heads, rows = table
            top = "".join(f"<th>{html.escape(head)}</th>" for head in heads)
            body = "".join(
                f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
                for row in rows
            )
            told.append(f"<div><table><tr>{top}</tr>{body}</table></div>")
    return PAGE.format(body="\n".join(told))


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Methods compared</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }}
th, td {{ border-bottom: 1px solid #8886; padding: .25rem .6rem; text-align: left; white-space: nowrap; }}
figure {{ margin: 1rem 0; background: white; border-radius: 6px; overflow-x: auto; }}
figure svg {{ max-width: 100%; height: auto; }}
</style></head><body>
{body}
</body></html>
"""
