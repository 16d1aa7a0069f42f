"""How fast General Points is: `python benchmarks/bench_general_points.py`. Medians, on one core."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import gymnasium
import numpy as np
from words import started

from envs.general_points import solver

PUBLISHED_RESETS_PER_SECOND = 1.5


def seconds_each(work: Callable[[int], object], times: int, rounds: int = 5) -> float:
    """The median over rounds of the mean time of one call."""
    means = []
    for round_ in range(rounds):
        began = time.perf_counter()
        for k in range(times):
            work(round_ * times + k)
        means.append((time.perf_counter() - began) / times)
    return statistics.median(means)


def solve_cold(index: int) -> None:
    for table in (solver._solutions, solver._terms_for, solver._reachable, solver._terms):
        table.cache_clear()
    solver.solutions(np.random.default_rng(index).integers(1, 14, 4).tolist(), 24)


def main() -> None:
    for arguments in (
        {"modality": "text"},
        {"modality": "text", "prompts": "varied"},
        {"modality": "visual", "size": (300, 300)},
        {"modality": "visual", "size": (300, 300), "deck": "chalk"},
        {"modality": "visual", "size": (112, 112)},
    ):
        env = gymnasium.make("amft/GeneralPoints-v0", disable_env_checker=True, **arguments)
        for seed in range(500):  # as in a run: the tables are warm, the seeds are new
            env.reset(seed=10**6 + seed)
        reset = seconds_each(lambda seed, env=env: env.reset(seed=seed), 400)
        stream = seconds_each(lambda _, env=env: env.reset(), 400)
        words = " ".join(f"{key}={value}" for key, value in arguments.items())
        print(
            f"{words:45s} reset(seed) {1 / reset:7.0f}/s, reset() {1 / stream:7.0f}/s:"
            f" {1 / reset / PUBLISHED_RESETS_PER_SECOND:6.0f} times the published"
        )
    env = gymnasium.make("amft/GeneralPoints-v0", modality="text", attempts=1000).unwrapped
    env.reset(seed=0)
    wrong = '{"cards": ["3", "J"], "number": [3, 10], "formula": "(3+10)*2=24"}'
    env._left = 10**9  # a world that never runs out, so that only steps are timed
    print(f"text step {seconds_each(lambda _: env.step(wrong), 2000) * 1e6:.0f} us")
    print(f"solver, 4 cards: cold {seconds_each(solve_cold, 20) * 1e3:.1f} ms", end=", ")
    print(f"warm {seconds_each(lambda _: solver.solutions((3, 3, 8, 8), 24), 2000) * 1e6:.1f} us")


if __name__ == "__main__":
    started(main)
