"""The tables of a report: of the runs on an environment under a condition, and of all together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from amft_mm.compare.conditions import AS_CLEAN, as_it_fares, is_heedless, title_of
from amft_mm.compare.grid import brief
from amft_mm.compare.parts import BASELINE, Cell, Runs, Table, over, share
from amft_mm.compare.power import Noise, noise_of
from amft_mm.compare.result import SECONDS, TOKENS, Result, Score
from amft_mm.compare.selecting import (
    Before,
    begun_with,
    by_seed,
    methods_of,
    most_tries,
    on_the_way,
    passes,
    runs_of,
    sampled,
    settings_of,
    warm_ups_of,
)
from amft_mm.compare.statistics import (
    BySeed,
    Estimate,
    area,
    area_to,
    improves,
    mean_of,
    mean_ranks,
)
from amft_mm.compare.verdicts import ONCE, Verdicts

FULL = 0.2
"""Of success above or below the middle of a column, for the full colour of a heat map."""
WARM_UP = "the warm-up"
SPENT = {"tokens": TOKENS, "seconds": SECONDS}
AREA = "area under the curve"


def glance_table(results: Sequence[Result]) -> Table:
    """Of every method, on each split of each environment under each condition: a heat map. A method for which
    a condition changes nothing fares as it did without."""
    heads, columns = ["method"], []
    finished = [r for r in results if r.state == "finished"]
    for env, condition in settings_of(finished):
        own = [r for r in results if r.env == env]
        here = [r for r in finished if (r.env, r.condition) == (env, condition)]
        for split in here[0].scores:
            heads.append(f"{title_of(env, condition)}, {split}")
            columns.append(_heat(own, condition, split))
    return heads, [[m, *(column.get(m, "") for column in columns)] for m in methods_of(finished)]


def _heat(results: Sequence[Result], condition: str, split: str) -> dict[str, Cell]:
    """Of an environment's runs."""
    runs, scores = dict[str, Runs](), dict[str, BySeed]()
    for method in methods_of(results):
        own = as_it_fares(results, method, condition)
        known = [r for r in own if r.method == method and split in r.scores]
        if known:
            runs[method], scores[method] = tuple(known), by_seed(known, method, split)
    shared = set.intersection(*(set(own) for own in scores.values()))
    means = {
        method: float(
            np.mean([s.success for seed, s in own.items() if seed in shared or not shared])
        )
        for method, own in scores.items()
    }
    middle = float(np.median(list(means.values())))
    found = {}
    for method, mean in means.items():
        marked = f" ({AS_CLEAN})" if is_heedless(results, method, condition) else ""
        heat = float(np.clip((mean - middle) / FULL, -1, 1))
        found[method] = Cell(f"{100 * mean:.1f}{marked}", heat=heat, runs=runs[method])
    return found


def success_table(
    results: Sequence[Result],
    before: Before,
    baselines: Sequence[str],
    verdicts: Verdicts = ONCE,
) -> Table:
    splits = list(results[0].scores)
    first_scores = begun_with(results, before, splits[0])
    scores = {m: by_seed(results, m) for m in methods_of(results)}
    scatter = noise_of(scores)
    gained = {m: verdicts.apart(own, first_scores, scatter) for m, own in scores.items()}
    heads = ["method", *(f"over {b}" for b in baselines)]
    heads += (["gained"] if first_scores else []) + [f"{split}, %" for split in splits]
    areas = {AREA: _areas(results, "success")}
    areas |= {
        f"{AREA}, {split}": _areas(results, key) for key, split in on_the_way(results).items()
    }
    heads += areas
    chosen = {r.method: r.choice for r in reversed(results)}
    searched = any(chosen.values())
    heads += ["learnt at"] if searched else []
    rows: list[list[Cell | str]] = []
    # Seeds begin with more or less success, and some methods have more of them.
    known = {m: one for m, one in gained.items() if one is not None}
    best = known if len(known) == len(scores) else {m: mean_of(own) for m, own in scores.items()}
    for method in _from_best(best):
        runs = runs_of(results, method)
        row: list[Cell | str] = [
            _named(results, method),
            *_over_each(results, scores, method, baselines, verdicts, scatter, greedy=True),
        ]
        if first_scores:
            row.append(over(gained[method], runs))
        row += [share(mean_of(by_seed(results, method, split)), runs) for split in splits]
        row += [column.get(method, "") for column in areas.values()]
        if searched:
            found = (f"{n.rsplit('.', 1)[-1]} {brief(v)}" for n, v in chosen[method].items())
            row.append(Cell(", ".join(found), runs=runs))
        rows.append(row)
    return heads, rows


def flawless_table(results: Sequence[Result]) -> Table | None:
    """Success at once; None where nothing of it is known, or no answer may be mended."""
    scores = [score for r in results for score in r.scores.values()]
    if all(score.flawless in (None, score.success) for score in scores):
        return None
    splits = list(results[0].scores)
    rows: list[list[Cell | str]] = [
        [_named(results, m), *(_flawless(results, m, split) for split in splits)]
        for m in methods_of(results)
    ]
    return ["method", *(f"{split} at once, %" for split in splits)], rows


def _flawless(results: Sequence[Result], method: str, split: str) -> Cell | str:
    found = {
        seed: Score(score.flawless, score.episodes)
        for seed, score in by_seed(results, method, split).items()
        if score.flawless is not None
    }
    return share(mean_of(found), runs_of(results, method)) if found else ""


def sampled_table(
    results: Sequence[Result], baselines: Sequence[str], verdicts: Verdicts = ONCE
) -> Table:
    scores = {m: found for m in methods_of(results) if (found := sampled(results, m))}
    scatter = noise_of(scores)
    means = {m: mean_of(own) for m, own in scores.items()}
    rows = [
        [
            _named(results, method),
            *_over_each(results, scores, method, baselines, verdicts, scatter),
            share(means[method], runs_of(results, method)),
        ]
        for method in _from_best(means)
    ]
    return ["method", *(f"over {b}" for b in baselines), "sampled, %"], rows


def passes_table(
    results: Sequence[Result],
    before: Before,
    baselines: Sequence[str],
    verdicts: Verdicts = ONCE,
) -> Table:
    """Of the methods whose runs played sampled tries; differences are of pass@1 on the first split."""
    splits, most = list(results[0].scores), most_tries(results)
    begun = warm_ups_of(results, before)
    heads = ["method", *(f"pass@1 over {b}" for b in baselines)]
    heads += [f"{split} pass@{k}, %" for split in splits for k in (1, most)]

    def shares(of: Sequence[Result], method: str) -> list[Cell | str]:
        found = [passes(of, method, split, k) for split in splits for k in (1, most)]
        return [share(mean_of(own), runs_of(of, method)) if own else "-" for own in found]

    scores = {m: own for m in methods_of(results) if (own := passes(results, m, splits[0], 1))}
    scatter = noise_of(scores)
    rows = [
        [
            _named(results, m),
            *_over_each(results, scores, m, baselines, verdicts, scatter),
            *shares(results, m),
        ]
        for m in _from_best({m: mean_of(own) for m, own in scores.items()})
    ]
    if any(w.tries for w in begun):
        rows.append([WARM_UP, *[""] * len(baselines), *shares(begun, begun[0].method)])
    return heads, rows


def apart_table(
    results: Sequence[Result], baseline: str, verdicts: Verdicts = ONCE
) -> Table | None:
    """What each method has over one of them on every split, greedily and of sampled tries; None where no more
    is known than the first split's greedy success."""
    figures = {m: _figures_of(results, m) for m in methods_of(results)}
    theirs, others = figures[baseline], [m for m in figures if m != baseline]
    if len(theirs) < 2 or not others:
        return None
    scatter = {name: noise_of({m: own[name] for m, own in figures.items()}) for name in theirs}
    first = next(iter(theirs))
    rows: list[list[Cell | str]] = []
    for method in others:
        mine, both = figures[method], runs_of(results, method, baseline)
        between = (results[0].env, results[0].condition, method, baseline)
        told = {
            name: verdicts.apart(
                mine[name], theirs[name], scatter[name], between if name == first else None
            )
            for name in theirs
        }
        rows.append([_named(results, method), *(over(found, both) for found in told.values())])
    return ["method", *theirs], rows


def _figures_of(results: Sequence[Result], method: str) -> dict[str, BySeed]:
    """Greedy success on every split, the first one's first, and pass@k where tries were played."""
    splits, most = list(results[0].scores), most_tries(results)
    found = {split: by_seed(results, method, split) for split in splits}
    for split, k in product(splits, (1, most) if most else ()):
        found[f"{split} pass@{k}"] = passes(results, method, split, k)
    return found


def budget_table(results: Sequence[Result]) -> Table:
    names = list(dict.fromkeys(name for r in results for name in r.totals))
    curves = {"success": "success"} | on_the_way(results)
    areas = {
        f"{said} by {what}, %": _areas(results, key, by)
        for key, said in curves.items()
        for what, by in SPENT.items()
    }
    known = {head: column for head, column in areas.items() if column}
    rows: list[list[Cell | str]] = []
    for method in methods_of(results):
        runs = runs_of(results, method)
        totals = [_total(runs, name) for name in names]
        told = [Cell(text, runs=runs) for text in (str(len(runs)), *totals)]
        rows.append([method, *told, *(c.get(method, "-") for c in known.values())])
    return ["method", "seeds", *names, *known], rows


def _total(runs: Sequence[Result], name: str) -> str:
    """The mean of the runs that tell it: files of before tell less."""
    known = [r.totals[name] for r in runs if name in r.totals]
    return f"{np.mean(known):,.0f}" if known else "-"


def _areas(results: Sequence[Result], key: str, spent: str | None = None) -> dict[str, Cell]:
    """By method, under its curve, by step or by what was spent; of the methods of which that is known. An
    interval takes the height as one evaluation, which is wide rather than narrow."""
    ends = (r.curves[spent][-1][1] for r in results if spent and r.curves.get(spent))
    budget = max(ends, default=0.0)
    found: dict[str, Cell] = {}
    for method in methods_of(results):
        known, runs = dict[int, Score](), list[Result]()
        for run in runs_of(results, method):
            if not (points := run.curves.get(key)):
                continue
            taken = run.curves.get(spent, []) if spent else None
            height = area(points) if taken is None else area_to(points, taken, budget)
            if height is not None:
                known[run.seed] = Score(float(np.clip(height, 0, 1)), run.first.episodes)
                runs.append(run)
        if known:
            found[method] = share(mean_of(known), tuple(runs))
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
    rows: list[list[Cell | str]] = []
    ranked = sorted(ranks, key=lambda m: float(np.mean(ranks[m])))
    # Where all share no seed there are no ranks, and chances all the same.
    for method in dict.fromkeys([*ranked, *methods_of(results)]):
        runs = runs_of(results, method)
        mean = f"{np.mean(ranks[method]):.1f} (of {len(ranks)})" if method in ranks else "-"
        row: list[Cell | str] = [_named(results, method), Cell(mean, runs=runs)]
        for baseline in baselines:
            known = chances.get((method, baseline))
            led = runs if method == baseline else runs_of(results, method, baseline)
            text = f"{np.mean(known):.0%}" if known else BASELINE * (method == baseline)
            row.append(Cell(text, runs=led) if text else "")
        rows.append(row)
    return ["method", "mean rank", *(f"chance to beat {b}" for b in baselines)], rows


def _over_each(
    results: Sequence[Result],
    scores: Mapping[str, BySeed],
    method: str,
    baselines: Sequence[str],
    verdicts: Verdicts,
    scatter: Noise | None,
    *,
    greedy: bool = False,
) -> list[Cell | str]:
    """`greedy`: of success on the first split."""
    row: list[Cell | str] = []
    for baseline in baselines:
        if method == baseline:
            row.append(Cell(BASELINE, runs=runs_of(results, method)))
            continue
        between = (results[0].env, results[0].condition, method, baseline) if greedy else None
        found = verdicts.apart(scores[method], scores.get(baseline, {}), scatter, between)
        row.append(over(found, runs_of(results, method, baseline)))
    return row


def _from_best(found: Mapping[str, Estimate]) -> list[str]:
    return sorted(found, key=lambda method: -found[method].mean)


def _named(results: Sequence[Result], method: str) -> Cell:
    return Cell(method, runs=runs_of(results, method))
