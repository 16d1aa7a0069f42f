"""Losses of what an expert wrote in rollouts: by hand, and what ties them to others."""

import math

import pytest
import torch

from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.exploration import exploration


def tokens(probabilities, given, advantages, old=None):
    log_probs = torch.tensor(probabilities, dtype=torch.float64).log().requires_grad_()
    return Tokens(
        log_probs,
        torch.zeros(len(probabilities), dtype=torch.float64),
        [len(probabilities)],
        old_log_probs=torch.tensor(old or probabilities, dtype=torch.float64).log(),
        advantages=torch.tensor(advantages, dtype=torch.float64),
        given=torch.tensor(given) if any(given) else None,
    )


def test_uft_takes_two_means():
    """-r A over the own token, and a thousandth of the hint's two -log p."""
    rollout = tokens([0.5, 0.25, 0.8], [True, True, False], [2.0, 2.0, 2.0], [0.5, 0.25, 0.4])
    loss = exploration("uft").loss(rollout, Totals(3, 1, 2), clip=2.0, beta=0.001)
    assert loss.item() == pytest.approx(-2.0 * 2 + 0.001 * (math.log(2) + math.log(4)) / 2)
    loss.backward()
    assert rollout.log_probs.grad.tolist() == pytest.approx([-0.0005, -0.0005, -4.0])


def test_uft_without_a_hint_is_the_token_mean():
    rollout = tokens([0.5, 0.25], [False, False], [1.0, -1.0], [0.5, 0.3])
    totals = Totals(2, 1)
    assert exploration("uft").loss(rollout, totals) == exploration("ppo").loss(rollout, totals)


def test_rl_plus_turns_to_what_is_unlikely_as_yet():
    """p = 1/2: ratio 2 p / (p + (p + 1) / 2) = 0.8, times sqrt(1 - p); p = 1 pulls no more."""
    rollout = tokens([0.5, 1.0, 0.8], [True, True, False], [2.0, 2.0, 2.0], [0.5, 1.0, 0.4])
    loss = exploration("rl_plus").loss(rollout, Totals(3, 1, 2), length=1.0)
    shown = 0.8 * math.sqrt(0.5)
    assert loss.item() == pytest.approx(-2.0 * (shown + 0.0 + 2.0))
    loss.backward()
    assert rollout.log_probs.grad.tolist() == pytest.approx([-2.0 * shown, 0.0, -4.0])


def test_rl_plus_without_demonstrations_is_reinforce():
    rollout = tokens([0.5, 0.25], [False, False], [1.0, -1.0], [0.5, 0.3])
    totals = Totals(2, 1)
    plain = exploration("reinforce").loss(rollout, totals)
    found = exploration("rl_plus").loss(rollout, totals, length=4.0)
    assert found.item() == pytest.approx(plain.item() / 4)
