"""The tables of a report: of the runs on an environment under a condition, and of all together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from amft_mm.compare.conditions import title_of
from amft_mm.compare.grid import brief
from amft_mm.compare.parts import BASELINE, Cell, Table, over, share
from amft_mm.compare.result import SECONDS, TOKENS, Result
from amft_mm.compare.selecting import (
    Before,
    begun_with,
    by_seed,
    curves_of,
    methods_of,
    most_tries,
    passes,
    sampled,
    settings_of,
    warm_ups_of,
)
from amft_mm.compare.statistics import (
    BySeed,
    Estimate,
    area,
    area_to,
    difference,
    improves,
    mean_of,
    mean_ranks,
)

FULL = 0.2
"""Of success above or below the middle of a column, for the full colour of a heat map."""
WARM_UP = "the warm-up"
SPENT = {"success by tokens, %": TOKENS, "success by seconds, %": SECONDS}


def glance_table(results: Sequence[Result]) -> Table:
    """Of every method, on each split of each environment under each condition: a heat map."""
    heads, columns = ["method"], []
    for env, condition in settings_of(results):
        own = [r for r in results if (r.env, r.condition) == (env, condition)]
        for split in own[0].scores:
            heads.append(f"{title_of(env, condition)}, {split}")
            columns.append(_heat(own, split))
    return heads, [[m, *(column.get(m, "") for column in columns)] for m in methods_of(results)]


def _heat(results: Sequence[Result], split: str) -> dict[str, Cell]:
    scores = {m: by_seed(results, m, split) for m in methods_of(results)}
    shared = set.intersection(*(set(own) for own in scores.values()))
    means = {
        method: float(
            np.mean([s.success for seed, s in own.items() if seed in shared or not shared])
        )
        for method, own in scores.items()
    }
    middle = float(np.median(list(means.values())))
    return {
        method: Cell(
            f"{100 * mean:.1f}",
            heat=float(np.clip((mean - middle) / FULL, -1, 1)),
            runs=_runs(results, method),
        )
        for method, mean in means.items()
    }


def success_table(results: Sequence[Result], before: Before, baselines: Sequence[str]) -> Table:
    splits = list(results[0].scores)
    first_scores = begun_with(results, before, splits[0])
    scores = {m: by_seed(results, m) for m in methods_of(results)}
    gained = {m: difference(own, first_scores) for m, own in scores.items()}
    heads = ["method", *(f"over {b}" for b in baselines)]
    heads += (["gained"] if first_scores else []) + [f"{split}, %" for split in splits]
    chosen = {r.method: r.choice for r in reversed(results)}
    searched = any(chosen.values())
    heads += ["area under the curve"] + (["learnt at"] if searched else [])
    rows: list[list[Cell | str]] = []
    # Seeds begin with more or less success, and some methods have more of them.
    for method in _from_best({m: gained[m] or mean_of(own) for m, own in scores.items()}):
        row = [_named(results, method), *_over_each(scores, method, baselines)]
        if first_scores:
            row.append(over(gained[method]))
        row += [share(mean_of(by_seed(results, method, split))) for split in splits]
        areas = [area(points) for points in curves_of(results, method, "success").values()]
        row.append(f"{100 * np.mean(areas):.1f}" if areas else "")
        if searched:
            found = (f"{n.rsplit('.', 1)[-1]} {brief(v)}" for n, v in chosen[method].items())
            row.append(", ".join(found))
        rows.append(row)
    return heads, rows


def sampled_table(results: Sequence[Result], baselines: Sequence[str]) -> Table:
    scores = {m: found for m in methods_of(results) if (found := sampled(results, m))}
    means = {m: mean_of(own) for m, own in scores.items()}
    rows = [
        [
            _named(results, method),
            *_over_each(scores, method, baselines),
            f"{100 * means[method].mean:.1f}",
        ]
        for method in _from_best(means)
    ]
    return ["method", *(f"over {b}" for b in baselines), "sampled, %"], rows


def passes_table(results: Sequence[Result], before: Before, baselines: Sequence[str]) -> Table:
    """Of the methods whose runs played sampled tries; differences are of pass@1 on the first split."""
    splits, most = list(results[0].scores), most_tries(results)
    begun = warm_ups_of(results, before)
    heads = ["method", *(f"pass@1 over {b}" for b in baselines)]
    heads += [f"{split} pass@{k}, %" for split in splits for k in (1, most)]

    def shares(of: Sequence[Result], method: str) -> list[Cell | str]:
        found = [passes(of, method, split, k) for split in splits for k in (1, most)]
        return [share(mean_of(own)) if own else "-" for own in found]

    scores = {m: own for m in methods_of(results) if (own := passes(results, m, splits[0], 1))}
    rows = [
        [_named(results, m), *_over_each(scores, m, baselines), *shares(results, m)]
        for m in _from_best({m: mean_of(own) for m, own in scores.items()})
    ]
    if any(w.tries for w in begun):
        rows.append([WARM_UP, *[""] * len(baselines), *shares(begun, begun[0].method)])
    return heads, rows


def budget_table(results: Sequence[Result]) -> Table:
    names = list(results[0].totals)
    areas = {head: _areas(results, key) for head, key in SPENT.items()}
    known = {head: column for head, column in areas.items() if column}
    rows: list[list[Cell | str]] = []
    for method in methods_of(results):
        own = [r for r in results if r.method == method]
        totals = [f"{np.mean([r.totals[name] for r in own]):,.0f}" for name in names]
        seeds = Cell(str(len(own)), runs=_runs(results, method))
        rows.append([method, seeds, *totals, *(c.get(method, "-") for c in known.values())])
    return ["method", "seeds", *names, *known], rows


def _areas(results: Sequence[Result], key: str) -> dict[str, str]:
    """By method, under its curve of success by what was spent; of the methods of which that is known."""
    budget = max((r.curves[key][-1][1] for r in results if r.curves.get(key)), default=0.0)
    found: dict[str, str] = {}
    for method in methods_of(results):
        own = [r for r in results if r.method == method and r.curves.get("success")]
        each = [area_to(r.curves["success"], r.curves.get(key, []), budget) for r in own]
        if known := [one for one in each if one is not None]:
            found[method] = f"{100 * np.mean(known):.1f}"
    return found


def together_table(results: Sequence[Result], baselines: Sequence[str]) -> Table:
    """Over all environments and conditions: mean rank, and chance of improvement."""
    baselines = [b for b in baselines if b in methods_of(results)]
    ranks: dict[str, list[float]] = {}
    chances: dict[tuple[str, str], list[float]] = {}
    for group in settings_of(results):
        own = [r for r in results if (r.env, r.condition) == group]
        first = {m: by_seed(own, m) for m in methods_of(own)}
        for method, rank in mean_ranks(first).items():
            ranks.setdefault(method, []).append(rank)
        for baseline in (b for b in baselines if b in first):
            for method in (m for m in first if m != baseline):
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
    return ["method", "mean rank", *(f"chance to beat {b}" for b in baselines)], rows


def _over_each(
    scores: Mapping[str, BySeed], method: str, baselines: Sequence[str]
) -> list[Cell | str]:
    return [
        BASELINE if method == b else over(difference(scores[method], scores.get(b, {})))
        for b in baselines
    ]


def _from_best(found: Mapping[str, Estimate]) -> list[str]:
    return sorted(found, key=lambda method: -found[method].mean)


def _named(results: Sequence[Result], method: str) -> Cell:
    return Cell(method, runs=_runs(results, method))


def _runs(results: Sequence[Result], method: str) -> tuple[Result, ...]:
    return tuple(r for r in results if r.method == method)
