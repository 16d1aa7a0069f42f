"""How fast V-IRL is: `python benchmarks/bench_virl.py`. Medians over rounds, on one core.

Visual steps are taken at places never seen before, so no cached picture is counted.
"""

from __future__ import annotations

import statistics
import time

import gymnasium

PUBLISHED_SECONDS_PER_STEP = 1.5  # the published code on 3328 x 1664 panoramas


def expert_steps_per_second(seconds: float = 2.0, **arguments: object) -> float:
    env = gymnasium.make("amft/VIRL-v0", disable_env_checker=True, **arguments)
    steps, spent, seed = 0, 0.0, 0
    while spent < seconds:
        seed += 1
        began = time.perf_counter()
        _, info = env.reset(seed=seed)
        steps += 1
        while not info["ended_by"]:
            *_, info = env.step(env.unwrapped.expert())  # type: ignore[attr-defined]
            steps += 1
        spent += time.perf_counter() - began
    return steps / spent


def main() -> None:
    settings = [
        {"modality": "text"},
        {"modality": "text", "mode": "free"},
        {"modality": "visual", "size": (112, 112)},
        {"modality": "visual", "size": (224, 224)},
        {"modality": "visual", "size": (448, 448)},
        {"modality": "visual", "size": (224, 224), "city": "newyork"},
        {"modality": "visual", "size": (224, 224), "city": "helsinki"},
    ]
    for arguments in settings:
        rates = [expert_steps_per_second(**arguments) for _ in range(5)]
        rate = statistics.median(rates)
        words = " ".join(f"{key}={value}" for key, value in arguments.items())
        print(
            f"{words:55s} {rate:8.0f} steps/s  (min {min(rates):.0f}, max {max(rates):.0f});"
            f" {rate * PUBLISHED_SECONDS_PER_STEP:7.0f} times the published"
        )


if __name__ == "__main__":
    main()
