"""What the worst answers cost: `python benchmarks/bench_hostile.py count=3000`.

Steps General Points, V-IRL, sums, the ice and Sokoban, in words, with texts made to be slow to read
(brackets, quotes, comments, megabytes) and with `count` random ones, and prints the slowest for each. The aim
is that none takes more than 10 ms.
"""

from __future__ import annotations

import itertools
import random
import statistics
import time
from collections.abc import Iterator

import gymnasium
from words import call

PIECES = [
    "{",
    '"',
    "'",
    ":",
    ",",
    "[",
    "]",
    "}",
    "//",
    "/*",
    "#",
    " ",
    "9",
    "\\",
    "(",
    ")",
    "\n",
    "=",
    "+",
]
WORDS = [
    '"action":',
    '"formula":',
    "forward()",
    "turn_direction(",
    "\\boxed{",
    "1+",
    "the answer is ",
]


def texts(count: int) -> Iterator[str]:
    rng = random.Random(0)
    pieces = PIECES + WORDS
    for pair in itertools.product(pieces, repeat=2):
        yield "".join(pair) * 10_000
    for piece in pieces:
        yield piece * 500_000
    for _ in range(count):
        chosen = "".join(rng.choices(pieces, k=rng.randint(1, 12)))
        yield chosen * rng.choice([1, 1, 3, 30, 3_000])


def main(count: int = 3_000) -> None:
    worlds = {
        "GeneralPoints": {"modality": "text", "attempts": 1},
        "VIRL": {"modality": "text", "attempts": 1},
        "Math": {"attempts": 1},
        "FrozenLake": {"modality": "text"},
        "Sokoban": {"modality": "text"},
    }
    for name, arguments in worlds.items():
        env = gymnasium.make(f"amft/{name}-v0", disable_env_checker=True, **arguments).unwrapped
        spent: list[tuple[float, str]] = []
        for text in texts(count):
            env.reset(seed=0)
            began = time.perf_counter()
            env.step(text)
            spent.append((time.perf_counter() - began, text))
        times = [seconds for seconds, _ in spent]
        slowest, text = max(spent)
        again = []
        for _ in range(5):  # once more, since a shared machine stumbles now and then
            env.reset(seed=0)
            began = time.perf_counter()
            env.step(text)
            again.append(time.perf_counter() - began)
        print(
            f"{name:14s} {len(times)} texts: median {statistics.median(times) * 1e6:.0f} us, "
            f"99.9 % below {sorted(times)[int(0.999 * len(times))] * 1e3:.1f} ms, slowest "
            f"{slowest * 1e3:.1f} ms (again {statistics.median(again) * 1e3:.1f} ms): {text[:30]!r}"
        )


if __name__ == "__main__":
    call(main)
