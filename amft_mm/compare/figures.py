"""Figures of a comparison, as SVG text: a line a method, with a band or bars for what chance may do."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amft_mm.compare.conditions import Conditions
from amft_mm.compare.parts import Curves
from amft_mm.compare.result import SECONDS, Points, Result
from amft_mm.compare.selecting import curves_of, methods_of

WIDEST = 8
"""Methods in one panel: more are divided among several, so that lines can be told apart."""
POINTS = 30
"""Of a line, at most."""
MARKS = ("-", "--", "-.", ":")
DOTS = ("o", "s", "^", "D")


def curves_figure(curves: Curves) -> str:
    """The methods of `curves.always` are in every panel, in grey."""
    from matplotlib.figure import Figure

    lines, always = curves.lines, [name for name in curves.always if name in curves.lines]
    others = [name for name in lines if name not in always]
    panels = [others[i : i + WIDEST] for i in range(0, len(others), WIDEST)] or [[]]
    figure = Figure(figsize=(4 * len(panels), 3.2), layout="constrained")
    figure.suptitle(curves.title, fontsize=11)
    for axes, names in zip(
        figure.subplots(1, len(panels), sharey=True, squeeze=False).flat, panels, strict=True
    ):
        for number, name in enumerate(always):
            _line(axes, name, [*lines[name].values()], "0.45", MARKS[number % len(MARKS)])
        for number, name in enumerate(names):
            _line(axes, name, [*lines[name].values()], *_look(number))
        axes.set_xlabel("step", fontsize=9)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, ncols=2)
    return _svg(figure)


def splits_figure(results: Sequence[Result], keys: Mapping[str, str], title: str) -> str:
    """A panel for each split (`keys`: a curve's name, and what is said of it), its success by the minutes
    that mixing had taken: methods whose steps cost differently are seen at the same time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * len(keys), 3.2), layout="constrained")
    figure.suptitle(title, fontsize=11)
    drawn = [*figure.subplots(1, len(keys), sharey=True, squeeze=False).flat]
    for axes, (key, said) in zip(drawn, keys.items(), strict=True):
        for number, method in enumerate(methods_of(results)):
            taken = curves_of(results, method, SECONDS)
            seeds = {s: own for s, own in curves_of(results, method, key).items() if s in taken}
            if seeds:
                minutes = [_minutes(own, taken[seed]) for seed, own in seeds.items()]
                _line(axes, method, [*seeds.values()], *_look(number), minutes)
        axes.set_title(said, fontsize=9)
        axes.set_xlabel("minutes", fontsize=9)
        axes.set_ylim(0, 1)
        axes.grid(alpha=0.3)
    # Not every method need have been evaluated on every split.
    shown = {str(line.get_label()): line for axes in drawn for line in axes.lines}
    if shown:
        wide = 2 * len(keys)
        figure.set_figheight(3.2 + 0.2 * -(-len(shown) // wide))
        figure.legend(shown.values(), shown, loc="outside lower center", fontsize=8, ncols=wide)
    return _svg(figure)


def conditions_figure(found: Conditions, conditions: Sequence[str], title: str) -> str:
    """What each method gained under each condition, or success where that is not known, and mu at the end."""
    from matplotlib.figure import Figure

    known = all(cell.gained for of_method in found.values() for cell in of_method.values())
    figure = Figure(figsize=(2 + 1.1 * len(conditions), 6), layout="constrained")
    figure.suptitle(title, fontsize=11)
    above, below = figure.subplots(2, 1, sharex=True)
    apart = min(0.12, 0.8 / len(found))  # each is nearer to its condition than to the next
    for number, (method, of_method) in enumerate(found.items()):
        where = [
            k + apart * (number - (len(found) - 1) / 2)
            for k, c in enumerate(conditions)
            if c in of_method
        ]
        cells = [of_method[c] for c in conditions if c in of_method]
        shown = [(t.gained if known else None) or t.success for t in cells]
        means = np.array([100 * one.mean for one in shown])
        ends = [means - [100 * s.low for s in shown], [100 * s.high for s in shown] - means]
        bars = np.maximum(0, ends)  # of a file whose success is not that of its instances
        colour, dot = _look(number, DOTS)
        above.errorbar(where, means, bars, fmt=dot, ms=4, color=colour, label=method)
        mus = [np.nan if t.mu is None else t.mu for t in cells]
        below.plot(where, mus, dot, ms=4, color=colour)
    above.set_ylabel("gained, points" if known else "success, %")
    below.set_ylabel("mu at the end")
    below.set_ylim(-0.05, 1.05)
    below.set_xticks(range(len(conditions)), conditions, fontsize=8)
    for axes in (above, below):
        axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", fontsize=8, ncols=5)
    return _svg(figure)


def _look(number: int, marks: Sequence[str] = MARKS) -> tuple[Any, str]:
    """The colour and the mark of one of many: after ten, colours come again with another mark."""
    from matplotlib import colormaps

    return colormaps["tab10"](number % 10), marks[number // 10 % len(marks)]


def _svg(figure: Any) -> str:
    """Words as text rather than outlines of letters: half the size, and one can search in them. The same
    figure has the same text."""
    from matplotlib import rc_context

    text = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "amft_mm"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def thinned(seeds: Sequence[Points]) -> tuple[np.ndarray, np.ndarray]:
    """Steps that all have, and their values by seed; what changes at each step is told by means of a few."""
    known = [dict(points) for points in seeds]
    steps = np.array(sorted(set.intersection(*map(set, known))))
    table = np.array([[values[step] for step in steps] for values in known])
    if len(steps) > POINTS:
        parts = np.array_split(np.arange(len(steps)), POINTS)
        steps = np.array([steps[part].mean() for part in parts])
        table = np.stack([table[:, part].mean(1) for part in parts], axis=1)
    return steps, table


def _minutes(curve: Points, taken: Points) -> Points:
    """That had been taken at the points of a curve: none at a warm-up's end."""
    known = dict(taken)
    return [(step, known.get(step, 0.0) / 60) for step, _ in curve]


def _line(
    axes: object,
    name: str,
    seeds: Sequence[Points],
    colour: object,
    mark: str,
    by: Sequence[Points] | None = None,
) -> None:
    """By step, or by what else is told of the same steps."""
    steps, table = thinned(seeds)
    if not len(steps):
        return
    if by:
        steps = thinned(by)[1].mean(0)
    axes.plot(steps, table.mean(0), mark, color=colour, label=name, linewidth=1.5)  # type: ignore[attr-defined]
    if len(seeds) > 1:
        low, high = table.min(0), table.max(0)
        axes.fill_between(steps, low, high, color=colour, alpha=0.12, linewidth=0)  # type: ignore[attr-defined]
