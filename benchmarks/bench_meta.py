"""What learning mu costs: `python benchmarks/bench_meta.py [--env virl] [--repeat 5]`.

Times the parts of steps of `method=amft`, as the default configuration has them, threads included:

    next_rollout   the derivative z, carried through AdamW's moments, and a look at a step's rollouts,
                   as if every group had better and worse episodes
    curved         the gradient of a step's demonstrations once more, along z
    heldout        z, and a look at held-out rollouts every 20 steps (playing them is not counted: it is
                   printed by itself)

Times are of the processor, so that other work on the machine does not count.
Parts with and without the derivative take turns on the same gradients; printed are medians, and ratios
to the time of a whole step.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from omegaconf import DictConfig
from words import started

from agents.trajectory import Trajectory, Turn
from amft_mm.config.composition import composition
from amft_mm.config.players import engine_of, load_policy, open_process_group
from amft_mm.data.rollouts import credited
from amft_mm.demos import record_demonstrations
from amft_mm.learning.curvature import gradient_along
from amft_mm.learning.mixed_step import WHOLE, MixedStep
from amft_mm.learning.objective import Objective
from amft_mm.learning.optimization import Names
from amft_mm.methods.exploration import reinforce
from amft_mm.methods.imitation import sft
from amft_mm.methods.utility.next_rollout import expected_return
from amft_mm.runs.folder import RunFolder
from amft_mm.trainer import Trainer

EVERY = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default="virl")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--overrides", nargs="*", default=[])
    arguments = parser.parse_args()
    own = [f"env={arguments.env}", "demos.n=64", "train.warmup_steps=2", "train.steps=1000"]
    own += ["train.reward_noise=0.5"]  # every group has better and worse episodes: the dearest step
    config = composition("train", own + arguments.overrides)
    with tempfile.TemporaryDirectory() as folder:
        measure(config, Path(folder) / "run", arguments.repeat)


def measure(config: DictConfig, folder: Path, repeat: int) -> None:
    processes = open_process_group(config)
    run = RunFolder(folder, config, resume=False, processes=processes)
    config.demos.folder = str(folder / "demos")
    record_demonstrations(config)
    policy = load_policy(config)
    trainer = Trainer(config, policy, engine_of(config, policy), run, processes, [])
    steps = trainer.steps()
    for _ in range(int(config.train.warmup_steps) + 1):
        next(steps)
    whole = [timed(lambda: next(steps)) for _ in range(repeat)]

    learner = trainer.training_step.learner
    mixed, parameters = learner.mixed, learner.parameters
    gradients = [torch.randn_like(p) * 1e-3 for p in parameters]

    def give() -> None:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.clone()

    def step(learn: bool) -> float:
        give()
        mixed.take_exploration()
        give()
        return timed(lambda: (mixed.mix(0.5, learn=learn), mixed.step()))

    sources = trainer.training_step.sources
    groups = [divided(members) for _, members in sources.rollouts(trainer.step + 1)[0]]

    def look() -> float:  # at `groups`
        return timed(lambda: (expected_return(learner, WHOLE, groups), mixed.z_norm()))

    def look_after_gradients() -> float:  # which have scored the groups
        played = credited([t for members in groups for t in members], {"baseline": "mean"})
        learner.gradients(played, Objective(reinforce.loss))
        learner.drop_gradients()
        return look()

    demonstrations = sources.demonstrations(trainer.step + 1, int(config.train.demos))
    objective = Objective(sft.loss)
    learner.gradients(demonstrations, objective)
    curves = [
        timed(lambda: gradient_along(learner, WHOLE, demonstrations, objective))
        for _ in range(repeat)
    ]
    learner.drop_gradients()

    plain, learning = [], []
    for number in range(10 * repeat):
        for learn in (True, False) if number % 2 else (False, True):
            (learning if learn else plain).append(step(learn))
    looks = [look_after_gradients() for _ in range(repeat)]
    median = statistics.median
    carried = median(learning) - median(plain)
    extra = carried + median(looks)

    held, playing = [], []
    for number in range(repeat):
        started = time.process_time()
        groups = [divided(members) for members in sources.heldout_rollouts(number, 8)]
        playing.append(time.process_time() - started)
        held.append(look())
    each = median(whole)
    print(
        f"a whole step             {each:8.3f} s   ({sum(p.numel() for p in parameters):,} trained)"
    )
    print(f"its mixed step, no z     {median(plain):8.4f} s")
    print(f"with z                   {median(learning):8.4f} s")
    print(f"a look                   {median(looks):8.4f} s")
    print(
        f"next_rollout costs       {extra / each:8.2%} of a step: z {carried / each:.2%}, a look the rest"
    )
    print(f"curved costs             {median(curves) / each:8.2%} of a step")
    names = {parameter: str(number) for number, parameter in enumerate(parameters)}
    print(f"z takes                  {memory_of(mixed, names) / 2**20:8.1f} MiB")
    print(
        f"heldout every {EVERY} costs   {(carried + median(held) / EVERY) / each:8.2%} of a step "
        f"without its rollouts, which cost {median(playing) / EVERY / each:.2%}"
    )


def divided(members: list[Trajectory]) -> list[Trajectory]:
    """As if every other one had succeeded: the dearest look."""
    worth = [Turn(float(number % 2), None, "") for number in range(len(members))]
    return [replace(t, turns=[turn]) for t, turn in zip(members, worth, strict=True)]


def memory_of(mixed: MixedStep, names: Names) -> int:
    """Bytes that the derivative holds."""
    state = mixed.state_dict(names)
    parts = [*state["z"].values(), *(one for both in state["moments"].values() for one in both)]
    return sum(t.numel() * t.element_size() for part in parts for t in part.values())


def timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    started(main)
