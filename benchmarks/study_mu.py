"""Does the controller find the best mix, where the best mix is known?

    python benchmarks/study_mu.py out=study.png [seeds=20] [steps=150]
    python benchmarks/study_mu.py parts=true                     # `amft` with one part left out at a time

A point in 50 dimensions shall reach a target. Exploration's gradient points there, with noise: it is a mean
over eight task instances, whose own products with z are the look. The demonstrations' gradient is clean but
points beside it. Three problems, and one more for `parts=true`:

    falling   far away imitation is worth more, near the target exploration is: the best mu falls with time
    fixed     the target stays as far ahead as it was, and the best mu where it was
    turned    the same, but from the middle of the run on the demonstrations point away from the target
    even      the same, but demonstrations point at the target with as much noise as exploration: half is best

At every tenth step the best mu is looked for by brute force: the mix that comes closest to the target after
ten more steps of the same optimizer, over many draws of noise. `oracle` takes the best of five mixes in this
way at every fifth step: what could be had at most. Printed: how far mu was from the best one, and how far
from the target each ended (of the other two: how far it got).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from words import call

from amft_mm.learning.curvature import growth, rescale
from amft_mm.learning.mixed_step import WHOLE, MixedStep
from amft_mm.methods.balance import Signal, balance

SIZE, NOISE, ASIDE, DRAWS, AHEAD, INSTANCES = 50, 2.0, 0.6, 32, 10, 8
LR, BETAS, EPS = 0.02, (0.9, 0.95), 1e-8
PROBLEMS = ("falling", "fixed", "turned")
EVEN = "even"
CONTROLLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "amft": ("amft", {}),
    "amft_ema, the one before": ("amft_ema", {}),
    "amft_paper, steps of mu x 1000": ("amft_paper", {"eta_mu": 0.1, "every": 1, "eta_h": 0.0}),
    "fixed 0.5": ("fixed", {"mu": 0.5}),
    "exploration alone": ("rl", {}),
    "imitation alone": ("sft", {}),
    "oracle": ("oracle", {}),
}
PARTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "amft": ({}, {}),
    "no doubt: each look moves mu": ({"doubt": 0.0}, {}),
    "evidence stays when mu has moved": ({"stale": 1e6}, {}),
    "evidence is one look": ({"memory": 1.01}, {}),
    "looks that share z count as so many": ({}, {"told": 0.0}),
    "no horizon: the last mix alone": ({}, {"rho": 0.0}),
    "how imitation's gradient changes (exact)": ({}, {"tangent": "exact"}),
    "momentum cut off (last_step)": ({}, {"tangent": "last_step"}),
    "plain descent's derivative": ({}, {"tangent": "plain_descent"}),
    "gradients as large as they are": ({}, {"balanced": False}),
}
"""`amft` with one part left out: the controller's settings, and those of the step."""


@dataclass
class Walk:
    found: list[float] = field(default_factory=list)
    best: list[tuple[int, float]] = field(default_factory=list)
    result: float = 0.0


def walk(
    problem: str,
    name: str,
    settings: dict[str, Any],
    seed: int,
    steps: int,
    rho: float = 0.9,
    told: float | None = None,
    tangent: str = "curved",
    balanced: bool = True,
    compared: bool = False,
) -> Walk:
    """`told`: the horizon that the controller takes rho to be. `compared` with the best mix, which is looked
    for from where it goes."""
    torch.manual_seed(seed)
    target = torch.ones(SIZE, dtype=torch.float64)
    aside = ASIDE * torch.randn(SIZE, dtype=torch.float64)
    place = torch.zeros(SIZE, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([place], lr=LR, betas=BETAS, eps=EPS, weight_decay=0.0)
    for _ in range(20):  # a warm-up that leaves the optimizer its state and the place where it is
        place.grad = torch.randn(SIZE, dtype=torch.float64)
        optimizer.step()
        place.data.zero_()
    mixed, out, mu = MixedStep(optimizer, None, rho=rho, tangent=tangent), Walk(), 0.5
    controller = None if name == "oracle" else balance(name, steps, settings)
    for step in range(steps):
        if problem != "falling":
            target = place.detach() + 1.0
        turned = problem == "turned" and step >= steps // 2
        shown = place.detach() * 2 - target if turned else target + (problem != EVEN) * aside
        noise = NOISE * math.sqrt(INSTANCES) * torch.randn(INSTANCES, SIZE, dtype=torch.float64)
        each = place.detach() - target + noise
        place.grad = each.mean(0)
        norm = float(place.grad.norm())
        mixed.take_exploration()
        state = optimizer.state[place]
        if controller is not None:
            products = (-each @ mixed.z[WHOLE][place]).tolist() if mixed.z else []
            horizon = rho if told is None else told
            controller.update(look(step, products, mixed.z_norm(), horizon))
            mu = controller.mu(step)
        elif step % 5 == 0:
            mu = best_mu(np.linspace(0, 1, 5), place.detach(), state, target, shown)
        if compared and step % 10 == 0:
            grid = np.linspace(0, 1, 21)
            out.best.append((step, best_mu(grid, place.detach(), state, target, shown)))
        place.grad = place.detach() - shown
        if problem == EVEN:
            place.grad += NOISE * torch.randn(SIZE, dtype=torch.float64)
        # In `falling` alone demonstrations stay where they are, and their gradient changes with the place.
        known = tangent == "curved" and problem == "falling" and WHOLE in mixed.z
        along = {place: rho * mixed.z[WHOLE][place]} if known else {}
        scale = 1.0
        if balanced:
            size = float(place.grad.norm())
            scale = norm / size
            rescale(along, -growth(along) / size)
        mixed.mix(mu, scale, along=along)
        mixed.step()
        out.found.append(mu)
    went = place.detach() / math.sqrt(SIZE)
    out.result = float((place.detach() - target).norm() if problem == "falling" else went.sum())
    return out


def look(step: int, products: list[float], z_norm: float, horizon: float) -> Signal:
    if not products:
        return Signal(step, entropy=1.0)
    count, square = len(products), sum(x**2 for x in products)
    product, error = sum(products) / count, math.sqrt(square) / count
    return Signal(step, product, error, count, z_norm, horizon, entropy=1.0)


def best_mu(
    grid: np.ndarray,
    place: torch.Tensor,
    state: dict[str, Any],
    target: torch.Tensor,
    shown: torch.Tensor,
) -> float:
    """Brute force: all mixes of the grid, `DRAWS` futures of `AHEAD` steps each."""
    mix = torch.from_numpy(grid)[:, None, None]
    theta = place.expand(len(grid), DRAWS, SIZE).clone()
    m, v = state["exp_avg"].expand_as(theta).clone(), state["exp_avg_sq"].expand_as(theta).clone()
    count = float(state["step"])
    noise_source = torch.Generator().manual_seed(0)
    for ahead in range(1, AHEAD + 1):
        noise = torch.randn(DRAWS, SIZE, dtype=torch.float64, generator=noise_source)
        explore = theta - target + NOISE * noise
        imitate = theta - shown
        imitate = imitate * explore.norm(dim=-1, keepdim=True) / imitate.norm(dim=-1, keepdim=True)
        gradient = (1 - mix) * explore + mix * imitate
        m = BETAS[0] * m + (1 - BETAS[0]) * gradient
        v = BETAS[1] * v + (1 - BETAS[1]) * gradient**2
        left = 1 - BETAS[0] ** (count + ahead), 1 - BETAS[1] ** (count + ahead)
        theta = theta - LR * (m / left[0]) / ((v / left[1]).sqrt() + EPS)
    return float(grid[int((theta - target).norm(dim=-1).mean(1).argmin())])


def left_out(seeds: int, steps: int) -> None:
    """Prints, for each part that is left out, how the three problems end and how often mu leaves 0.3 to 0.7
    where it has no reason to."""
    heads = "".join(f"{problem:>24}" for problem in PROBLEMS)
    print(f"{'left out':<38}{heads}{'even: left 0.3 to 0.7':>24}")
    for name, (settings, of_step) in PARTS.items():
        told = ""
        for problem in PROBLEMS:
            ends = [
                walk(problem, "amft", settings, s, steps, **of_step).result for s in range(seeds)
            ]
            told += f"{spread(ends):>24}"
        runs = [walk(EVEN, "amft", settings, s, steps, **of_step).found for s in range(seeds)]
        left = np.mean([not all(0.3 <= mu <= 0.7 for mu in found) for found in runs])
        print(f"{name:<38}{told}{left:>24.0%}", flush=True)


def spread(ends: Sequence[float]) -> str:
    """The median, and a tenth to nine tenths."""
    low, middle, high = np.quantile(ends, [0.1, 0.5, 0.9])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def main(out: str = "study.png", seeds: int = 20, steps: int = 150, parts: bool = False) -> None:
    if parts:
        left_out(seeds, steps)
        return
    from matplotlib.figure import Figure

    plotted = [name for name, (kind, _) in CONTROLLERS.items() if kind.startswith("amft")][:2]
    figure = Figure(figsize=(12, 5), layout="constrained")
    axes = figure.subplots(len(plotted), len(PROBLEMS), sharex=True, sharey=True)
    print(
        f"{'problem':<10}{'controller':<34}{'|mu - best|':>12}{'at the end (a tenth to nine)':>32}"
    )
    for column, problem in enumerate(PROBLEMS):
        for name, (kind, settings) in CONTROLLERS.items():
            compared = kind.startswith("amft")
            walks = [
                walk(problem, kind, settings, s, steps, compared=compared) for s in range(seeds)
            ]
            apart = [abs(w.found[s] - mu) for w in walks for s, mu in w.best]
            told = f"{np.mean(apart):.2f}" if apart else ""
            print(
                f"{problem:<10}{name:<34}{told:>12}{spread([w.result for w in walks]):>32}",
                flush=True,
            )
            if name in plotted:
                panel = axes[plotted.index(name), column]
                for number, w in enumerate(walks):
                    panel.plot(w.found, "C0", alpha=0.4, label="" if number else "found")
                    places, best = zip(*w.best, strict=True)
                    label = "" if number else "best from there"
                    panel.plot(places, best, "C1", alpha=0.2, label=label)
                panel.set_title(f"{problem}: {name}", fontsize=9)
    axes[0, 0].legend(fontsize=8)
    figure.savefig(out, dpi=80)
    print(out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    call(main)
