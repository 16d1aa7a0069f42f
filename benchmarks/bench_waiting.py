"""What waiting costs: `python benchmarks/bench_waiting.py [--delays 0 0.1 1] [--ahead]`.

Episodes of text in worlds that take so many seconds a step, played by engine=hf with one thread:

    waves       the engine is asked for all conversations together, when all worlds have stepped
    continuous  each is asked for as soon as its world has stepped

and with --ahead training steps, which play and then learn, or play the next step while they learn
(train.ahead=1; every world step takes the last of the delays). Both take turns within one run; printed are
medians and ratios. A second process's work on the same cores hides what is won: run it alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gymnasium
import torch
from words import started

from agents.conversation import Limits
from agents.engines.hf import HFEngine
from agents.policy import Policy
from agents.rollout import Plan, play
from agents.worlds import World, Worlds
from amft_mm.config.composition import composition
from amft_mm.config.players import engine_of, load_policy, open_process_group
from amft_mm.runs.folder import RunFolder
from amft_mm.trainer import Trainer
from envs.virl.env import VIRLEnv

TURNS = 6
SETTINGS = [
    "env=own",
    "env.id=bench/Slow-v0",
    "method=grpo",
    "model=tiny",
    "demos.n=0",
    "train={warmup_steps:0,steps:5,tasks:2,group:4,reward_noise:0.3}",
    "eval={every:0,episodes:1}",
    "record.rollouts=0",
    f"limits={{max_new_tokens:48,max_turns:{TURNS}}}",
    "play.workers=8",
]


class Slow(VIRLEnv):
    """Streets in text, each step of which takes a while."""

    def __init__(self, delay: float = 0.0, **options: Any) -> None:
        super().__init__(modality="text", attempts=1, out_of_attempts="move_on", **options)
        self._delay = delay

    def respond(self, text: str) -> Any:
        time.sleep(self._delay)
        return super().respond(text)


gymnasium.register("bench/Slow-v0", entry_point=Slow)


def episodes(policy: Policy, delay: float, count: int, repeat: int) -> dict[str, list[float]]:
    """Seconds by each way."""
    worlds = Worlds(World("bench/Slow-v0", {"delay": delay}), count, workers=count)
    limits = Limits(max_new_tokens=48, max_turns=TURNS)
    found: dict[str, list[float]] = {"waves": [], "continuous": []}
    engines = {name: HFEngine(policy, together=name == "waves") for name in found}
    for step in range(repeat + 1):
        for name, engine in engines.items():
            engine.refresh()
            plan = Plan(seed=1, step=step, tasks=count // 4, group=4, limits=limits)
            begun = time.perf_counter()
            trajectories = play(worlds, policy, engine, plan)
            assert not any(t.failed for t in trajectories)
            if step:  # the first is to warm up
                found[name].append(time.perf_counter() - begun)
    worlds.close()
    return found


def steps(delay: float) -> dict[str, list[float]]:
    """Seconds of a training step by each way."""
    found: dict[str, list[float]] = {}
    for name, ahead in (("in turn", 0), ("ahead", 1)):
        with tempfile.TemporaryDirectory() as folder:
            words = [*SETTINGS, f"+env.delay={delay}", f"train.ahead={ahead}", f"out={folder}/run"]
            config = composition("train", words)
            processes = open_process_group(config)
            policy = load_policy(config)
            run = RunFolder(Path(config.out), config, resume=False, processes=processes)
            trainer = Trainer(config, policy, engine_of(config, policy), run, processes, [])
            found[name] = [row["time/step"] for row in trainer.steps()][1:-1]
            trainer.training_step.close()
            run.close()
    return found


def tell(title: str, found: dict[str, list[float]]) -> None:
    (first, before), (second, now) = found.items()
    ratios = [a / b for a, b in zip(before, now, strict=True)]
    print(
        f"{title}: {first} {statistics.median(before):6.2f} s, {second} {statistics.median(now):6.2f} s, "
        f"{second} is {statistics.median(ratios):4.2f} times as fast ({min(ratios):.2f} to "
        f"{max(ratios):.2f})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delays", type=float, nargs="+", default=[0.0, 0.1, 1.0])
    parser.add_argument("--episodes", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--ahead", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    policy = Policy.load("tiny", device="cpu")
    for delay in chosen.delays:
        found = episodes(policy, delay, chosen.episodes, chosen.repeat)
        tell(f"{delay:4.1f} s a step of a world", found)
    if chosen.ahead:
        tell(f"training, {chosen.delays[-1]:4.1f} s a step of a world", steps(chosen.delays[-1]))


if __name__ == "__main__":
    started(main)
