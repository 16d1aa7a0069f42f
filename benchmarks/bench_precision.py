"""What bfloat16 saves here: `python benchmarks/bench_precision.py --model FOLDER [--lora]`.

The demonstrations of bench_learning.py are learnt from, and the same episodes are written, by the same
weights in float32 and in bfloat16 (`model.dtype=bfloat16`), in turns, on one thread or on the GPU; printed
are tokens a second of both, medians, and their ratios. On a CPU all hangs on its instructions, which are told
first: with AVX512-BF16 or AMX bfloat16 is faster, without them slower.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from bench_learning import conversations, learn
from words import started

from agents.conversation import Limits
from agents.engines import make_engine
from agents.policy import Policy
from agents.rollout import Plan, play
from agents.worlds import World, Worlds

WORLD = World("amft/VIRL-v0", {"modality": "text", "answer": "short", "thought": "steps"})
PRECISIONS = (torch.float32, torch.bfloat16)


def instructions() -> str:
    """What this machine has for bfloat16, as Linux and torch tell it."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        with open("/proc/cpuinfo") as file:
            flags = next((line.split() for line in file if line.startswith("flags")), [])
    except OSError:
        return "a CPU whose instructions are not told"
    found = [name for name in ("amx_bf16", "avx512_bf16") if name in flags]
    return (
        f"a CPU with {' and '.join(found)}" if found else "a CPU without instructions for bfloat16"
    )


def written(policy: Policy, worlds: Worlds) -> float:
    """Tokens a second that are sampled, what is read for them included in the time."""
    limits = Limits(max_tokens=2000, max_new_tokens=40, max_turns=4)
    engine = make_engine("hf", policy)
    begun = time.perf_counter()
    episodes = play(worlds, policy, engine, Plan(tasks=2, group=4, limits=limits, seed=0))
    return sum(int(episode.conversation.chosen().sum()) for episode in episodes) / (
        time.perf_counter() - begun
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--lora", action="store_true")
    parser.add_argument("--count", type=int, default=4, help="demonstrations")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    options: dict[str, Any] = {"lora": {"r": 16}} if asked.lora else {}
    policies = {dtype: Policy.load(asked.model, dtype=dtype, **options) for dtype in PRECISIONS}
    items = conversations(policies[torch.float32], asked.count, most=2000)
    batches, tokens = [[item] for item in items], sum(item.length for item in items)
    worlds = Worlds(WORLD, slots=8)
    speeds: dict[tuple[str, torch.dtype], list[float]] = {}
    for _ in range(asked.repeats):
        for dtype, policy in policies.items():
            policy.model.train()
            speeds.setdefault(("learnt", dtype), []).append(tokens / learn(policy, batches))
            policy.model.eval()
            speeds.setdefault(("written", dtype), []).append(written(policy, worlds))
    worlds.close()
    print(f"{instructions()}; {asked.model}, tokens a second")
    print(f"{'':<10}{'float32':>10}{'bfloat16':>10}{'times':>8}")
    for what in ("learnt", "written"):
        full, half = (statistics.median(speeds[what, dtype]) for dtype in PRECISIONS)
        print(f"{what:<10}{full:>10.1f}{half:>10.1f}{half / full:>8.2f}")


if __name__ == "__main__":
    started(main)
