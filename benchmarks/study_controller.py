"""What the controllers of mu do on looks whose truth is known: no signal, a weak one, one that turns round.

    python benchmarks/study_controller.py out=controller.png [runs=500]

A look is a mean over eight task instances, with noise. Its signal is given in standard errors of one look.
`amft` and the controller before it (`amft_ema`) are shown the same looks. Plotted is mu: ten runs, and in
bands what half and nine tenths of all runs do. Printed is how often mu left 0.3 to 0.7, and found 0.9.
"""

from __future__ import annotations

import math

import numpy as np
from words import call

from amft_mm.methods.balance import Signal, balance

INSTANCES, SHARED, SIZE = 8, 0.9, 30
CASES: dict[str, tuple[list[float], bool]] = {
    "no signal": ([0.0] * 120, False),
    "no signal, looks share z": ([0.0] * 120, True),
    "0.5 standard errors a look": ([0.5] * 75, False),
    "0.5, then -0.5": ([0.5] * 100 + [-0.5] * 150, False),
}
NAMES = ("amft_ema", "amft")


def looks(signals: list[float], shares: bool, seed: int) -> list[Signal]:
    rng = np.random.default_rng([3, seed])
    z, found = rng.normal(size=SIZE), []
    for step, signal in enumerate(signals):
        if shares:  # gradients are independent, and what they are multiplied with changes slowly
            z = SHARED * z + math.sqrt(1 - SHARED**2) * rng.normal(size=SIZE)
            each = rng.normal(size=(INSTANCES, SIZE)) @ z / np.linalg.norm(z)
        else:
            each = rng.normal(size=INSTANCES)
        each = each + signal / math.sqrt(INSTANCES)
        error = math.sqrt(float((each**2).sum())) / INSTANCES
        seen = (float(each.mean()), error, INSTANCES)
        found.append(Signal(step, *seen, z_norm=1.0, horizon=SHARED))
    return found


def mus(name: str, seen: list[list[Signal]]) -> np.ndarray:
    """Of each run at each step."""
    found = np.empty((len(seen), len(seen[0])))
    for run, signals in enumerate(seen):
        controller = balance(name, len(signals), {})
        for step, signal in enumerate(signals):
            controller.update(signal)
            found[run, step] = controller.mu(step)
    return found


def main(out: str = "controller.png", runs: int = 500) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    axes = figure.subplots(len(NAMES), len(CASES), sharex="col", sharey=True)
    print(
        f"{'looks':<28}{'controller':<12}{'left 0.3 to 0.7':>16}{'found 0.9':>12}{'at the end':>12}"
    )
    for column, (case, (signals, shares)) in enumerate(CASES.items()):
        seen = [looks(signals, shares, run) for run in range(runs)]
        for row, name in enumerate(NAMES):
            found, panel = mus(name, seen), axes[row, column]
            outside = ((found < 0.3) | (found > 0.7)).any(axis=1).mean()
            high = (found > 0.9).any(axis=1).mean()
            end = np.median(found[:, -1])
            print(f"{case:<28}{name:<12}{outside:>16.1%}{high:>12.1%}{end:>12.2f}", flush=True)
            steps = np.arange(len(signals))
            for low, top, alpha in ((5, 95, 0.15), (25, 75, 0.25)):
                bounds = np.percentile(found, [low, top], axis=0)
                panel.fill_between(steps, *bounds, color="C0", alpha=alpha, linewidth=0)
            for run in found[:10]:
                panel.plot(steps, run, "C0", linewidth=0.6, alpha=0.7)
            panel.plot(steps, np.median(found, axis=0), "k", linewidth=1.4)
            panel.set_ylim(0, 1)
            if row == 0:
                panel.set_title(case, fontsize=10)
            if column == 0:
                panel.set_ylabel(f"mu of {name}")
            if row == len(NAMES) - 1:
                panel.set_xlabel("look")
    figure.savefig(out, dpi=80)
    print(out)


if __name__ == "__main__":
    call(main)
