"""The oracle of mu: it tries mixes from the same weights, and takes the one that is best after the step."""

import copy

import pytest
import torch

from agents.conversation import Conversation, Limits
from agents.trajectory import Trajectory
from amft_mm.learning.example import Example
from amft_mm.learning.learner import Learner, OptimizerSettings
from amft_mm.learning.objective import Objective
from amft_mm.methods.balance import balance
from amft_mm.methods.imitation import sft
from amft_mm.runs.processes import ProcessGroup
from amft_mm.training.ahead import LookAhead


class Engine:
    def refresh(self):
        pass


class Held:
    """Episodes of one answer; the likelier it has become, the more of them succeed."""

    def __init__(self, policy, read):
        self._policy, self._read, self.asked = policy, read, []
        self._before = self._score()

    @torch.no_grad()
    def _score(self):
        return float(self._policy.score([self._read]).log_probs.mean())

    def heldout_rollouts(self, step, tasks):
        self.asked.append((step, tasks))
        rise = self._score() - self._before
        won = sum(rise > mark for mark in torch.linspace(-2.0, 2.0, 2001).tolist())
        return [
            [Trajectory(self._read, "world", 0, k, seed=0, success=k < won) for k in range(2001)]
        ]


@pytest.mark.parametrize("shown", [True, False])
def test_the_oracle_takes_the_better_end_and_leaves_no_trace(tiny, shown):
    """Demonstrations show the answer that is rewarded, or exploration goes to it and they lead away."""
    read = Conversation(tiny, Limits())
    read.observe("which way?")
    read.act(tiny.chat_format.answer("left"))
    learner = Learner(tiny, OptimizerSettings(lr=0.0, max_norm=None), ProcessGroup(), 1000)
    learner.drop_gradients()
    held, oracle = Held(tiny, read), balance("mu_oracle", 10, {"tasks": 3})
    learner.gradients([Example(read)], Objective(sft.loss))
    toward = {p: p.grad for p in learner.parameters if p.grad is not None}
    generator = torch.Generator().manual_seed(0)
    for p, gradient in toward.items():  # a warm-up's state, since Adam's first step is a sign
        p.grad = torch.randn(p.shape, generator=generator) * gradient.abs().mean()
    learner.optimizer.step()
    learner.set_lr(1e-4)
    for p, gradient in toward.items():
        p.grad = -gradient if shown else gradient.clone()
    learner.mixed.take_exploration()
    for p, gradient in toward.items():
        p.grad = gradient.clone() if shown else -gradient
    explored = {p: g.clone() for p, g in learner.mixed.exploration.items()}
    before = [p.detach().clone() for p in learner.parameters]
    state = copy.deepcopy(learner.optimizer.state_dict())

    worth = LookAhead(learner, held, Engine()).success(
        oracle.tries, 1.0, step=4, tasks=oracle.trial_tasks
    )
    told = oracle.tried(worth)
    assert oracle.mu(0) == (1.0 if shown else 0.0)
    assert worth == sorted(worth, reverse=not shown)
    assert list(told.values()) == worth
    assert list(told)[1] == "oracle/success_0.25"
    assert held.asked == [(4, 3)] * 5
    assert all(torch.equal(a, p) for a, p in zip(before, learner.parameters, strict=True))
    assert all(torch.equal(learner.mixed.exploration[p], g) for p, g in explored.items())
    assert all(torch.equal(p.grad, g if shown else -g) for p, g in toward.items())
    after = learner.optimizer.state_dict()
    assert after["param_groups"] == state["param_groups"]
    for place, own in state["state"].items():
        assert all(torch.equal(after["state"][place][name], value) for name, value in own.items())
    learner.drop_gradients()


def test_of_equal_mixes_the_nearest_to_the_last_is_taken():
    oracle = balance("mu_oracle", 10, {"start": 0.6})
    oracle.tried([0.0] * 5)
    assert oracle.mu(0) == 0.5
    oracle.tried([0.4, 0.1, 0.2, 0.3, 0.4])
    oracle.tried([0.4, 0.1, 0.2, 0.3, 0.4])
    assert oracle.mu(0) == 0.0
