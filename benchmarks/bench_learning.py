"""How fast conversations are learnt from: `python benchmarks/bench_learning.py [--model tiny] [--lora]`.

Demonstrations of V-IRL in text and sums, of very different lengths, are read and gone back through in
micro-batches of a token budget:

    by length    as training does: conversations of similar length together (amft_mm/learning/batching.py)
    as they come the same budget, filled in the order in which conversations come

Printed are tokens a second without padding, the share of padding, and the model-flops utilisation:
floating-point operations that the tokens themselves need (counted by torch on passes without padding) over
what a large matrix product reaches on the same device in the same run, or over `--peak`, teraflops as the
maker of the device tells them. Both orders take turns; printed are medians, and their ratio.

Then groups of eight, as rollouts are, of one-turn hands and of whole routes: what its members begin with read
once a group, as training does (agents/openings.py), and with each of them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from torch.utils.flop_counter import FlopCounterMode
from words import started

from agents.conversation import Conversation, Limits
from agents.experts import demonstrate
from agents.policy import Policy
from agents.worlds import World
from amft_mm.learning.batching import by_length
from envs.guard import GuardedEnv

WORLDS = (
    World("amft/VIRL-v0", {"modality": "text"}),
    World("amft/Math-v0", {}),
)

GROUP = 8
GROUPED = (
    World("amft/GeneralPoints-v0", {"thought": "steps", "size": (112, 112)}),
    World("amft/GeneralPoints-v0", {"thought": "steps", "modality": "text"}),
    World("amft/Math-v0", {"source": "countdown"}),
    World("amft/VIRL-v0", {"answer": "short", "thought": "steps", "size": (168, 168)}),
)


def conversations(policy: Policy, count: int, most: int) -> list[Conversation]:
    """Experts' episodes, of the worlds in turn."""
    found = []
    envs = [GuardedEnv(world.make, seconds=60.0) for world in WORLDS]
    for seed in range(count):
        place = seed % len(WORLDS)
        said = demonstrate(envs[place], WORLDS[place], seed)
        found.append(said.conversation(policy, Limits(max_tokens=most, max_new_tokens=16)))
    for env in envs:
        env.close()
    return found


def groups(policy: Policy, world: World, count: int, most: int) -> list[Conversation]:
    """Experts' episodes, each as if all members of a group had played it."""
    env = GuardedEnv(world.make, seconds=60.0)
    limits = Limits(max_tokens=most, max_new_tokens=16)
    found = []
    for seed in range(count):
        said = demonstrate(env, world, seed)
        found += [said.conversation(policy, limits) for _ in range(GROUP)]
    env.close()
    return found


def as_they_come(items: Sequence[Conversation], tokens: int) -> Iterator[list[Conversation]]:
    group: list[Conversation] = []
    for item in items:
        longest = max(c.length for c in [*group, item])
        if group and longest * (len(group) + 1) > tokens:
            yield group
            group = []
        group.append(item)
    yield group


def learn(policy: Policy, batches: list[list[Conversation]]) -> float:
    """Seconds for a pass forward and back over all of them."""
    started = time.perf_counter()
    for batch in batches:
        policy.score(batch).log_probs.sum().backward()
    if policy.device.type == "cuda":
        torch.cuda.synchronize()
    policy.model.zero_grad()
    return time.perf_counter() - started


def by_openings(policy: Policy, asked: argparse.Namespace) -> None:
    usual = policy.reads_openings
    if not usual:
        print(
            "what groups begin with is read with each member: this model does not have it otherwise"
        )
        return
    for world in GROUPED:
        items = groups(policy, world, max(1, asked.count // GROUP), asked.longest)
        seconds: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(asked.repeats):
            for once, spent in seconds.items():
                policy.reads_openings = once
                batches = list(by_length(items, asked.tokens, opening=policy.opening_of))
                spent.append(learn(policy, batches))
        policy.reads_openings = usual
        real, first = sum(c.length for c in items), sum(c.answers[0].start for c in items)
        faster = statistics.median(seconds[False]) / statistics.median(seconds[True])
        print(
            f"{world.id} {dict(world.options)}: {first / real:.0%} of the tokens are what groups begin with; "
            f"read once it is {faster:.2f} times as fast"
        )


def needed(policy: Policy, items: Sequence[Conversation]) -> float:
    """Floating-point operations of the tokens alone; what is recomputed does not count."""
    with FlopCounterMode(display=False) as counter:
        for item in items:
            policy.score([item]).log_probs.sum().backward()
    policy.model.zero_grad()
    return float(counter.get_total_flops())


def reached(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product."""
    size = 8192 if device.type == "cuda" else 1024
    a = torch.randn(size, size, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--lora", action="store_true")
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=3000, help="train.micro_batch_tokens")
    parser.add_argument("--longest", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peak", type=float, help="teraflops of the device, as its maker tells")
    asked = parser.parse_args()
    options: dict[str, Any] = {"lora": {"r": 16}} if asked.lora else {}
    policy = Policy.load(asked.model, **options)
    policy.model.train()
    items = conversations(policy, asked.count, asked.longest)
    real = sum(c.length for c in items)
    flops = needed(policy, items)
    peak = asked.peak * 1e12 if asked.peak else reached(policy.device, policy.dtype)
    print(
        f"{policy.device}, {len(items)} conversations of {real} tokens, {flops / real:.2e} a token"
    )
    orders = {
        "by length": list(by_length(items, asked.tokens)),
        "as they come": list(as_they_come(items, asked.tokens)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in orders}
    for _ in range(asked.repeats):
        for name, batches in orders.items():
            seconds[name].append(learn(policy, batches))
    print(f"{'':<14}{'tokens/s':>10}{'padding':>10}{'utilisation':>13}")
    for name, batches in orders.items():
        padded = sum(max(c.length for c in batch) * len(batch) for batch in batches)
        median = statistics.median(seconds[name])
        share = flops / median / peak
        print(f"{name:<14}{real / median:>10.0f}{1 - real / padded:>10.0%}{share:>13.1%}")
    first, second = (statistics.median(of) for of in seconds.values())
    print(f"by length is {second / first:.2f} times as fast")
    by_openings(policy, asked)


if __name__ == "__main__":
    started(main)
