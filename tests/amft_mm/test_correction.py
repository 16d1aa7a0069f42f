"""Engine and learner: what ratios are of, at which temperature, and what corrects for the rest."""

import numpy as np
import pytest
import torch

from agents.conversation import Limits
from agents.engines.base import Sampling
from agents.engines.hf import HFEngine
from agents.rollout import Plan, play
from agents.worlds import World, Worlds
from amft_mm.config.composition import composition
from amft_mm.learning.correction import correction
from amft_mm.learning.entropy import with_entropy
from amft_mm.learning.example import Example
from amft_mm.learning.learner import Learner, OptimizerSettings
from amft_mm.learning.learner import compare_with_engine as compare
from amft_mm.learning.objective import Objective
from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.exploration import EXPLORATION, exploration
from amft_mm.methods.objectives import Objectives
from amft_mm.runs.processes import ProcessGroup

DOUBLE = torch.float64
K = [[1.0, 4.0], [0.4, 1.25, 8.0]]
"""Learner's probabilities to the engine's, of two conversations."""


def numbers(values):
    return torch.tensor(values, dtype=DOUBLE)


def compared(name, given=(), **settings):
    """Five tokens of probability 1/2 by the learner, with weights for their K."""
    log_probs = numbers([0.5] * 5).log().requires_grad_()
    tokens = Tokens(log_probs, torch.zeros(5, dtype=DOUBLE), [2, 3])
    tokens.advantages = numbers([1.0] * 5)
    engine = log_probs.detach() - numbers([k for ks in K for k in ks]).log()
    engine[list(given)] = float("nan")
    compare(tokens, engine, log_probs.detach(), correction(name, **settings))
    return tokens


@pytest.mark.parametrize(
    ("name", "settings", "weights", "cut"),
    [
        ("token", {}, [1, 2, 0.4, 1.25, 2], 2),
        ("token", {"cap": 5.0}, [1, 4, 0.4, 1.25, 5], 1),
        ("sequence", {}, [2, 2, 2, 2, 2], 5),
        ("sequence", {"cap": 5.0}, [4, 4, 4, 4, 4], 0),
        ("mask", {}, [1, 4, 0, 1.25, 0], 2),
        ("mask", {"low": 0.1, "high": 10.0}, [1, 4, 0.4, 1.25, 8], 0),
    ],
)
def test_what_a_token_counts(name, settings, weights, cut):
    """0.4 * 1.25 * 8 = 4: a conversation's product."""
    tokens = compared(name, **settings)
    assert tokens.weights.tolist() == pytest.approx(weights)
    assert tokens.notes["rollout/ratio_cut"] == (cut, 5)
    assert not tokens.log_ratios.detach().any()


def test_without_a_correction_the_ratio_is_against_the_engine():
    tokens = compared("none")
    assert tokens.weights is None
    assert tokens.log_ratios.exp().tolist() == pytest.approx([1.0, 4.0, 0.4, 1.25, 8.0])
    total, count = tokens.notes["rollout/ratio_mean"]
    assert (total, count) == (pytest.approx(14.65), 5)


def test_what_an_expert_wrote_counts_1():
    tokens = compared("sequence", given=[1, 4], cap=5.0)
    assert tokens.weights.tolist() == pytest.approx([1, 1, 0.5, 0.5, 1])
    assert tokens.notes["rollout/ratio_mean"][1] == 3


@pytest.mark.parametrize("name", sorted(EXPLORATION))
def test_every_exploration_loss_heeds_what_its_tokens_count(name):
    """All counting twice is twice the loss, all counting nothing is a 0 with gradients of 0."""

    def gradient(weight):
        log_probs = numbers([0.5, 0.3, 0.2]).log().requires_grad_()
        tokens = Tokens(log_probs, -log_probs.detach(), [2, 1])
        tokens.advantages = numbers([1.0, 1.0, -1.0])
        tokens.outcomes, tokens.success_rates = numbers([1.0, 1.0, 0.0]), numbers([0.5] * 3)
        tokens.weights = None if weight is None else torch.full((3,), weight, dtype=DOUBLE)
        exploration(name).loss(tokens, Totals(3, 2, 0, 2, 1)).backward()
        return log_probs.grad

    assert torch.allclose(gradient(2.0), 2 * gradient(None))
    assert not gradient(0.0).any()
    assert gradient(None).any()


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("tokne", {}, "Did you mean 'token'"),
        ("token", {"cap": 0.0}, "cap=0.0 must be above 0"),
        ("mask", {"low": 2.0, "high": 1.0}, "low=2.0 between 0 and high=1.0"),
    ],
)
def test_mistakes_are_named(name, settings, words):
    with pytest.raises(ValueError, match=words):
        correction(name, **settings)


@pytest.fixture(scope="module")
def rollouts(tiny):
    """By sampling: examples with an advantage of 1."""

    def sampled(**how):
        sampling = Sampling(**how)
        worlds = Worlds(World("amft/Math-v0", {}), slots=2)
        plan = Plan(tasks=2, group=1, sampling=sampling, limits=Limits(max_new_tokens=20))
        trajectories = play(worlds, tiny, HFEngine(tiny), plan)
        worlds.close()
        made = [Example(t.conversation, np.ones(len(t.conversation.answers))) for t in trajectories]
        return made, sampling

    return sampled


@pytest.mark.parametrize("how", [{}, {"temperature": 0.6}, {"temperature": 1.5, "top_k": 5}])
def test_ratios_of_fresh_rollouts_are_1_at_any_temperature(tiny, rollouts, how):
    """The policy that sampled is the model at that temperature: learner and engine score the same one."""
    examples, sampling = rollouts(**how)
    learner = Learner(tiny, OptimizerSettings(lr=0.0), ProcessGroup(), 3000)
    objective = Objective(exploration("grpo").loss, temperature=sampling.learnt_at)
    report = learner.gradients(examples, objective)
    assert report.figures["rollout/ratio_mean"] == pytest.approx(1.0, abs=1e-4)
    assert report.largest_ratio_error < 2e-4
    assert scored_by(learner, examples, sampling) == pytest.approx(
        [p for e in examples for p in e.old_log_probs()], abs=2e-4
    )
    plain = scored_by(learner, examples, Sampling())
    same = scored_by(learner, examples, sampling) == pytest.approx(plain, abs=1e-3)
    assert same is (sampling.temperature == 1.0)


def scored_by(learner, examples, sampling):
    objective = Objective(exploration("grpo").loss, temperature=sampling.learnt_at)
    return [p for e in learner.scored(examples, objective) for p in e.scored]


def test_several_updates_compare_with_what_the_learner_said_before_the_first(tiny, rollouts):
    examples, _ = rollouts()
    learner = Learner(tiny, OptimizerSettings(lr=0.0), ProcessGroup(), 3000)
    objective = Objective(exploration("grpo").loss, correction=correction("token"))
    before = learner.scored(examples, objective)
    assert [len(e.scored) for e in before] == [int(e.conversation.chosen().sum()) for e in examples]
    weight = tiny.plain_model.model.language_model.norm.weight
    kept = weight.detach().clone()
    try:
        weight.data.mul_(1.05)
        ratios = []

        def loss(tokens, totals):
            ratios.append(tokens.log_ratios.detach().abs().max())
            return 0.0 * tokens.log_probs.sum()

        learner.gradients(before, Objective(loss, correction=correction("token")))
        moved = float(max(ratios))
        ratios.clear()
        learner.gradients(examples, Objective(loss, correction=correction("token")))
        assert moved > 1e-4
        assert float(max(ratios)) == 0.0
    finally:
        weight.data.copy_(kept)
        learner.drop_gradients()


def test_the_entropy_bonus_has_the_gradient_of_the_exact_entropy():
    logits = torch.randn(4, 6, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    logits.requires_grad_()
    scores = torch.log_softmax(logits, -1)
    tokens = Tokens(scores[:, 0], -(scores.exp() * scores).sum(-1), [4])
    loss = with_entropy(lambda tokens, totals: 0.0 * tokens.log_probs.sum(), 0.5)
    loss(tokens, Totals(4, 1)).backward()
    p = scores.detach().exp()
    entropy = -(p * p.log()).sum(-1, keepdim=True)
    expected = 0.5 * p * (p.log() + entropy) / 4  # -dH / dlogits
    assert torch.allclose(logits.grad, expected)


def test_a_method_says_how_its_engine_is_corrected_for(tiny):
    chosen = ["env=math", "method=grpo", "method.correction.name=mask"]
    config = composition("train", [*chosen, "method.entropy=0.001"])
    made = Objectives(config.method, tiny, 0.7).exploration
    assert (made.temperature, made.by_advantage) == (0.7, False)
    assert made.correction is not None
    plain = composition("train", ["env=math", "method=grpo"])
    assert Objectives(plain.method, tiny).exploration.correction is None
    assert Sampling(temperature=0.0).learnt_at == 1.0
