"""How fast V-IRL is: `python benchmarks/bench_virl.py`. Medians over rounds, on one core.

Visual steps are measured twice: with every picture drawn afresh, and as in a run, where pictures of
places seen before are remembered. A step includes the expert's answer and its verdict.
"""

from __future__ import annotations

import statistics
import time

import gymnasium
from words import started

PUBLISHED_SECONDS_PER_STEP = 1.5  # the published code on 3328 x 1664 panoramas


def expert_steps_per_second(
    seconds: float, first_seed: int, *, new: bool, **arguments: object
) -> float:
    """With `new`, every picture is drawn afresh; else places seen before are remembered."""
    env = gymnasium.make("amft/VIRL-v0", disable_env_checker=True, **arguments).unwrapped
    steps, spent, seed = 0, 0.0, first_seed
    drawn = env._source._drawn._painted  # type: ignore[attr-defined]
    while spent < seconds:
        seed += 1
        info: dict[str, object] = {"ended_by": None}
        while not info["ended_by"]:
            if new:
                drawn.clear()
            began = time.perf_counter()
            if info.get("route") is None:
                _, info = env.reset(seed=seed)
            else:
                *_, info = env.step(env.expert())  # type: ignore[attr-defined]
            spent += time.perf_counter() - began
            steps += 1
    return steps / spent


def main() -> None:
    settings = [
        {"modality": "text"},
        {"modality": "text", "mode": "free"},
        {"size": (112, 112)},
        {"size": (224, 224)},
        {"size": (448, 448)},
        {"size": (224, 224), "city": "newyork"},
        {"size": (224, 224), "city": "helsinki"},
    ]
    for arguments in settings:
        words = " ".join(f"{key}={value}" for key, value in arguments.items())
        for new in (True, False) if "size" in arguments else (False,):
            rates = [expert_steps_per_second(1.0, 1000 * k, new=new, **arguments) for k in range(5)]
            rate = statistics.median(rates)
            what = "every place new" if new else "as in a run"
            print(
                f"{words:38s} {what:16s} {rate:6.0f} steps/s (min {min(rates):.0f}, max "
                f"{max(rates):.0f}): {rate * PUBLISHED_SECONDS_PER_STEP:6.0f} times the published"
            )


if __name__ == "__main__":
    started(main)
