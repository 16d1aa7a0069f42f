"""Does the controller find the best mix, where the best mix is known?

    python benchmarks/study_mu.py out=study.png [seeds=5] [steps=300]

A point in 50 dimensions shall reach a target. Exploration's gradient points there, with noise; the
demonstrations' gradient is clean but points beside it. Far away imitation is worth more, near the target
exploration is, so the best mu falls with time. At every fifth step the best mu is looked for by brute
force: the mix that comes closest to the target after ten more steps of the same optimizer, over many
draws of noise. Printed and plotted: the mix that each controller found, the best one from where it stood,
and how far from the target each ended.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from amft_mm.learning.mixed_step import MixedStep
from amft_mm.methods.balance import Signal, balance

SIZE, NOISE, ASIDE, DRAWS, AHEAD = 50, 2.0, 0.6, 64, 10
LR, BETAS, EPS = 0.02, (0.9, 0.95), 1e-8
GRID = np.linspace(0, 1, 21)
CONTROLLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "amft": ("amft", {"start": 0.5}),
    "amft_paper": ("amft_paper", {"start": 0.5}),
    "amft_paper, steps of mu x 1000": ("amft_paper", {"eta_mu": 0.1, "every": 1, "eta_h": 0.0}),
    "the published code's sign, x 1000": ("amft_paper", {"eta_mu": -0.1, "every": 1, "eta_h": 0.0}),
    "fixed 0.5": ("fixed", {"mu": 0.5}),
    "exploration alone": ("rl", {}),
    "imitation alone": ("sft", {}),
}


@dataclass
class Walk:
    found: list[float] = field(default_factory=list)
    best: list[tuple[int, float]] = field(default_factory=list)
    distance: float = 0.0


def walk(name: str, settings: dict[str, Any], seed: int, steps: int) -> Walk:
    torch.manual_seed(seed)
    target = torch.ones(SIZE, dtype=torch.float64)
    shown = target + ASIDE * torch.randn(SIZE, dtype=torch.float64)
    place = torch.zeros(SIZE, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([place], lr=LR, betas=BETAS, eps=EPS, weight_decay=0.0)
    for _ in range(20):  # a warm-up that leaves the optimizer its state and the place where it is
        place.grad = torch.randn(SIZE, dtype=torch.float64)
        optimizer.step()
        place.data.zero_()
    mixed, controller = MixedStep(optimizer, None, rho=0.9), balance(name, steps, settings)
    out = Walk()
    for step in range(steps):
        place.grad = place.detach() - target + NOISE * torch.randn(SIZE, dtype=torch.float64)
        norm = float(place.grad.norm())
        product = -mixed.along() if mixed.z else None
        mixed.take_exploration()
        controller.update(Signal(step, product, norm, mixed.z_norm(), entropy=1.0))
        mu = controller.mu(step)
        if step % 5 == 0:
            out.best.append((step, best_mu(place.detach(), optimizer.state[place], target, shown)))
        place.grad = place.detach() - shown
        mixed.mix(mu, norm / float(place.grad.norm()))
        mixed.step()
        out.found.append(mu)
    out.distance = float((place.detach() - target).norm())
    return out


def best_mu(
    place: torch.Tensor, state: dict[str, Any], target: torch.Tensor, shown: torch.Tensor
) -> float:
    """Brute force: all mixes of the grid, `DRAWS` futures of `AHEAD` steps each."""
    mix = torch.from_numpy(GRID)[:, None, None]
    theta = place.expand(len(GRID), DRAWS, SIZE).clone()
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
    return float(GRID[int((theta - target).norm(dim=-1).mean(1).argmin())])


def main(out: str = "study.png", seeds: str = "5", steps: str = "300") -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 3.2), layout="constrained")
    panels = iter(figure.subplots(1, 4, sharey=True))
    print(f"{'controller':<36}{'|mu - best|':>12}{'distance at the end':>22}")
    for name, (kind, settings) in CONTROLLERS.items():
        walks = [walk(kind, settings, seed, int(steps)) for seed in range(int(seeds))]
        apart = [np.mean([abs(w.found[s] - mu) for s, mu in w.best]) for w in walks]
        ends = [w.distance for w in walks]
        spread = f"{np.median(ends):.2f} ({min(ends):.2f} to {max(ends):.2f})"
        print(f"{name:<36}{np.median(apart):>12.2f}{spread:>22}", flush=True)
        if kind.startswith("amft"):
            axes = next(panels)
            for number, w in enumerate(walks):
                axes.plot(w.found, "C0", alpha=0.6, label="" if number else "found")
                places, best = zip(*w.best, strict=True)
                axes.plot(places, best, "C1", alpha=0.25, label="" if number else "best from there")
            axes.set_title(name, fontsize=9)
            axes.set_xlabel("step")
            axes.legend(fontsize=8)
    figure.savefig(out, dpi=110)
    print(out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(**dict(given.split("=", 1) for given in sys.argv[1:]))
