"""AMFT in one file: imitation and exploration mixed in every step, and the mix learnt.

    python examples/minimal.py [world [steps of the single stage [steps of the warm-up]]]

It warms up on an expert's episodes, then mixes, and prints mu and success. What the training command adds
(a run's folder, checkpoints, several processes, other methods) is left out. Its derivative by mu is the
plain one (`method.tangent=exact`), without how imitation's gradient changes with the weights;
docs/controller.md has what that is worth.
"""

import argparse

import numpy as np
import torch

from agents.conversation import Limits
from agents.engines import Sampling, make_engine
from agents.experts import demonstrate
from agents.policy import Policy
from agents.rollout import Plan, play
from agents.trajectory import Trajectory, by_task
from agents.worlds import World, Worlds
from amft_mm.learning.credit import advantages
from amft_mm.learning.example import Example
from amft_mm.learning.learner import Learner, OptimizerSettings
from amft_mm.learning.mixed_step import WHOLE
from amft_mm.learning.objective import Objective
from amft_mm.learning.optimization import slope
from amft_mm.methods.balance import Signal, balance
from amft_mm.methods.exploration import grpo
from amft_mm.methods.imitation import sft
from amft_mm.methods.utility.next_rollout import expected_return
from amft_mm.runs.processes import ProcessGroup
from envs.guard import GuardedEnv

DEMONSTRATIONS, TASKS, GROUP = 32, 16, 8
"""Of a step; each task instance is played by a group."""
HORIZON = 0.9
"""What a mix's effect still counts a step later."""
LIMITS = Limits(max_tokens=1000, max_new_tokens=60, max_turns=4)


def main(
    world_id: str = "amft/Math-v0", steps: int = 20, warmup: int = 120
) -> list[tuple[float, float]]:
    """(mu, success of the rollouts) of each step of the single stage."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    policy = Policy.load("tiny", freeze_vision=True)
    world = World(world_id, {"split": "train"})
    worlds, engine = Worlds(world, slots=TASKS * GROUP), make_engine("hf", policy)
    expert = Expert(world, policy)
    learner = Learner(policy, OptimizerSettings(lr=0.0, horizon=HORIZON), ProcessGroup(), 3000)
    imitation, exploration = Objective(sft.loss), Objective(grpo.loss, by_advantage=True)

    for step in range(warmup):  # imitation alone
        learner.gradients(expert.episodes(step), imitation)
        learner.mixed.mix(1.0, learn=False)
        learner.set_lr(1e-3 * slope(step + 1, warmup, ramp=10, final=0.1))
        learner.mixed.step()

    learner.set_lr(1e-4)
    controller, curve = balance("amft", steps, {"start": 0.5}), []
    for step in range(steps):
        engine.refresh()  # the weights are new
        plan = Plan(seed=1, step=step, tasks=TASKS, group=GROUP, limits=LIMITS, sampling=Sampling())
        policy.model.eval()
        episodes = play(worlds, policy, engine, plan)
        learner.gradients(credited(episodes), exploration)
        learner.mixed.take_exploration()  # g_R
        if learner.mixed.z:  # the look: what the last mixes did to the return, and how sure that is
            look = expected_return(learner, WHOLE, by_task(episodes).values())
            seen = () if look is None else (look.product, look.error, look.instances)
            z_norm = learner.mixed.z_norm()
            controller.update(Signal(step, *seen, z_norm=z_norm, horizon=HORIZON))
        learner.gradients(expert.episodes(warmup + step), imitation)  # g_S
        scale = learner.mixed.exploration_norm() / learner.gradient_norm()
        mu = controller.mu(step)
        learner.mixed.mix(mu, scale if scale > 0 else 1.0)  # g = (1 - mu) g_R + mu g_S
        learner.mixed.step()  # clips, steps, leaves z = d theta' / d mu
        success = float(np.mean([episode.success for episode in episodes]))
        curve.append((mu, success))
        print(f"step {step + 1:3}  mu {mu:.2f}  success {success:6.1%}", flush=True)
    worlds.close()
    return curve


class Expert:
    """Plays task instances that the rollouts never see."""

    def __init__(self, world: World, policy: Policy) -> None:
        self._env, self._world, self._policy = GuardedEnv(world.make), world, policy

    def episodes(self, step: int) -> list[Example]:
        seeds = [10**6 + DEMONSTRATIONS * step + k for k in range(DEMONSTRATIONS)]
        rows = [demonstrate(self._env, self._world, seed) for seed in seeds]
        return [Example(row.conversation(self._policy, LIMITS)) for row in rows]


def credited(episodes: list[Trajectory]) -> list[Example]:
    """Each episode against the others of its group: (R - mean) / standard deviation."""
    found = []
    for members in by_task(episodes).values():
        for episode, worth in zip(members, advantages([e.rewards for e in members]), strict=True):
            if worth is not None and len(worth):
                found.append(Example(episode.conversation, worth))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("world", nargs="?", default="amft/Math-v0", help="that gymnasium knows")
    parser.add_argument("steps", nargs="?", type=int, default=20, help="of the single stage")
    parser.add_argument("warmup", nargs="?", type=int, default=120, help="its steps")
    main(*vars(parser.parse_args()).values())
