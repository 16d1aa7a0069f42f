"""What a page draws, as SVG in the page's own colours, so that it is read by day and by night.

    bar(estimate, scale)    an interval with its mean, between the ends of a scale
    panels(curves)          a small picture for each method, all on the same axes

Words in it are escaped: methods are named by users.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from itertools import cycle

import numpy as np

from amft_mm.compare.figures import thinned
from amft_mm.compare.parts import Curves
from amft_mm.compare.statistics import Estimate

BAR = 90, 12
PANEL = 190, 112
"""Width and height, in pixels where there is room."""
LEFT, RIGHT, TOP, BOTTOM = 36, 6, 6, 16
SEEDS = 5
"""That have a colour and dashes of their own."""
BESIDE = "beside", "beside dashed"
"""Classes of what methods are seen beside, in turn."""
Scale = tuple[float, float]


def scale_of(estimates: Iterable[Estimate]) -> Scale:
    """From the lowest to the highest that intervals reach, with 0 where they are on both sides of it."""
    ends = [end for one in estimates for end in (one.low, one.high)]
    return min(ends), max(ends)


def bar(estimate: Estimate, scale: Scale, kind: str = "") -> str:
    """`kind` is the class of its colour."""
    width, height = BAR
    low, mean, high = (
        _place(value, scale, 3, width - 3) for value in (estimate.low, estimate.mean, estimate.high)
    )
    zero = ""
    if scale[0] < 0 < scale[1]:
        at = _place(0.0, scale, 3, width - 3)
        zero = f"<path class='zero' d='M{at:.1f} 0V{height}'/>"
    return (
        f"<svg class='bar {kind}' width='{width}' height='{height}' aria-hidden='true'>{zero}"
        f"<rect x='{low:.1f}' y='3' width='{max(high - low, 1):.1f}' height='6' rx='2'/>"
        f"<path class='mean' d='M{mean:.1f} 1V{height - 1}'/></svg>"
    )


def panels(curves: Curves) -> str:
    every = [points for seeds in curves.lines.values() for points in seeds.values()]
    steps = _ends([step for points in every for step, _ in points])
    values = _ends([value for points in every for _, value in points])
    kinds = zip(curves.always, cycle(BESIDE), strict=False)  # the same in all pictures
    beside = [(name, kind) for name, kind in kinds if name in curves.lines]
    quiet = "".join(_line(_mean(curves, name), steps, values, kind) for name, kind in beside)
    found = [
        _panel(name, _own(curves, name, steps, values), quiet, steps, values)
        for name in curves.lines
    ]
    told = (
        "each line is a seed" if curves.each_seed else "the mean, and from lowest to highest seed"
    )
    if beside:
        grey = [name if kind == BESIDE[0] else f"dashed {name}" for name, kind in beside]
        told += f"; grey: {', '.join(grey)}"
    words = html.escape(f"{curves.title} by step: {told}.")
    if curves.each_seed:
        words += f" {_keys(sorted({seed for seeds in curves.lines.values() for seed in seeds}))}"
    return f"<p>{words}</p><div class='panels'>{''.join(found)}</div>"


def _panel(name: str, own: str, quiet: str, steps: Scale, values: Scale) -> str:
    width, height = PANEL
    bottom = height - BOTTOM
    axes = f"<path class='axis' d='M{LEFT} {TOP}V{bottom}H{width - RIGHT}'/>"
    for value in values:
        y = _place(value, values, bottom, TOP)
        axes += f"<text class='y' x='{LEFT - 3}' y='{y + 3:.1f}'>{value:.3g}</text>"
    for step, anchor in zip(steps, ("start", "end"), strict=True):
        x = _place(step, steps, LEFT, width - RIGHT)
        axes += f"<text text-anchor='{anchor}' x='{x:.1f}' y='{height - 4}'>{step:.0f}</text>"
    said = html.escape(name, quote=True)
    return (
        f"<figure><figcaption>{said}</figcaption><svg viewBox='0 0 {width} {height}' role='img' "
        f"aria-label='{said}'>{axes}{quiet}{own}</svg></figure>"
    )


def _own(curves: Curves, name: str, steps: Scale, values: Scale) -> str:
    seeds = curves.lines[name]
    if curves.each_seed:
        thin = {seed: thinned([points]) for seed, points in seeds.items()}
        return "".join(
            _line(
                list(zip(at, table[0], strict=True)),
                steps,
                values,
                f"own {_mark(seed)}",
                f"seed {seed}",
            )
            for seed, (at, table) in thin.items()
        )
    at, table = thinned(list(seeds.values()))
    if not len(at):
        return ""
    around = [*zip(at, table.min(0), strict=True), *reversed([*zip(at, table.max(0), strict=True)])]
    band = f"<path class='band' d='{_path(around, steps, values)}Z'/>" if len(seeds) > 1 else ""
    return band + _line(_mean(curves, name), steps, values, "own")


def _mark(seed: int) -> str:
    """The class of a seed's colour and dashes, the same in all pictures."""
    return f"s{seed % SEEDS}"


def _keys(seeds: Sequence[int]) -> str:
    """Read where there is no pointer to hover with."""
    line = "<svg aria-hidden='true'><path class='{}' d='M0 4H30'/></svg>"
    return "".join(f"<span class='key'>{line.format(_mark(s))}seed {s}</span>" for s in seeds)


def _mean(curves: Curves, name: str) -> list[tuple[float, float]]:
    at, table = thinned(list(curves.lines[name].values()))
    return list(zip(at, table.mean(0), strict=True)) if len(at) else []


def _line(
    points: Sequence[tuple[float, float]], steps: Scale, values: Scale, kind: str, title: str = ""
) -> str:
    if not points:
        return ""
    told = f"<title>{title}</title>" if title else ""
    if len(points) == 1:
        x, y = _at(points[0], steps, values)
        return f"<circle class='{kind}' cx='{x:.1f}' cy='{y:.1f}' r='2'>{told}</circle>"
    return f"<path class='{kind}' d='{_path(points, steps, values)}'>{told}</path>"


def _path(points: Iterable[tuple[float, float]], steps: Scale, values: Scale) -> str:
    return "M" + "L".join("{:.1f} {:.1f}".format(*_at(point, steps, values)) for point in points)


def _at(point: tuple[float, float], steps: Scale, values: Scale) -> tuple[float, float]:
    width, height = PANEL
    x = _place(point[0], steps, LEFT, width - RIGHT)
    return x, _place(point[1], values, height - BOTTOM, TOP)


def _place(value: float, scale: Scale, low: float, high: float) -> float:
    share = (value - scale[0]) / (scale[1] - scale[0]) if scale[1] > scale[0] else 0.5
    return float(low + np.clip(share, 0, 1) * (high - low))


def _ends(values: Sequence[float]) -> Scale:
    return (min(values), max(values)) if values else (0.0, 1.0)
