"""The learner: conversations that move nothing are read without a gradient, and change no update."""

import numpy as np
import pytest
import torch

from agents.conversation import Conversation, Limits
from amft_mm.learning.example import Example
from amft_mm.learning.learner import Learner, OptimizerSettings
from amft_mm.learning.objective import Objective
from amft_mm.learning.value import ValueHead
from amft_mm.methods.exploration import EXPLORATION
from amft_mm.methods.imitation import sft
from amft_mm.runs.processes import ProcessGroup
from tests.amft_mm.processes import finish, started

SPARING = [name for name, module in EXPLORATION.items() if getattr(module, "BY_ADVANTAGE", False)]


def rollouts(policy, credits):
    """Conversations of one to three answers, each with the credit of its number."""
    examples = []
    for number, credit in enumerate(credits):
        conversation = Conversation(policy, Limits())
        for turn in range(1 + number % 3):
            conversation.observe(f"turn {turn} of number {number}")
            conversation.say("left" if turn % 2 else f"a longer answer than {number}")
        answers = len(conversation.answers)
        examples.append(Example(conversation, np.full(answers, credit)))
    return examples


def learnt(policy, examples, loss, *, by_advantage):
    """The report, the gradients, and of each pass its conversations and whether it had a gradient."""
    learner, passes = Learner(policy, OptimizerSettings(lr=0.0), ProcessGroup(), 100), []
    learner.drop_gradients()  # the policy is shared by many tests

    def watched(tokens, totals):
        passes.append((len(tokens.lengths), torch.is_grad_enabled()))
        return loss(tokens, totals)

    report = learner.gradients(examples, Objective(watched, by_advantage=by_advantage))
    gradients = [None if p.grad is None else p.grad.clone() for p in learner.parameters]
    learner.drop_gradients()
    return report, gradients, passes


@pytest.mark.parametrize("name", SPARING)
def test_what_moves_nothing_is_spared_the_backward_pass_and_told_all_the_same(tiny, name):
    """A mean over the batch must not become one over what moves: the totals are of all."""
    examples, loss = rollouts(tiny, [0.0, 1.0, 0.0, -0.5, 0.0, 0.0]), EXPLORATION[name].loss
    spared, gradients, passes = learnt(tiny, examples, loss, by_advantage=True)
    whole, expected, all_moving = learnt(tiny, examples, loss, by_advantage=False)
    assert sum(count for count, moves in passes if moves) == 2
    assert sum(count for count, _ in passes) == len(examples)
    assert all(moves for _, moves in all_moving)
    assert spared.figures == pytest.approx(whole.figures, abs=1e-6)
    plain = [{k: v for k, v in vars(r).items() if k != "figures"} for r in (spared, whole)]
    assert plain[0] == pytest.approx(plain[1], abs=1e-6)
    assert any(gradient is not None and gradient.any() for gradient in gradients)
    for one, other in zip(gradients, expected, strict=True):
        assert (one is None) == (other is None)
        # The same sums in another order: in float32 that is a millionth of the largest gradient.
        assert one is None or torch.allclose(one, other, atol=2e-6)


def test_where_nothing_moves_gradients_are_zeros(tiny):
    """None would leave the optimizer's step out, and with it the momentum of earlier ones."""
    examples, loss = rollouts(tiny, [0.0, 0.0, 0.0]), EXPLORATION["grpo"].loss
    _, gradients, _ = learnt(tiny, examples, loss, by_advantage=True)
    _, expected, _ = learnt(tiny, examples, loss, by_advantage=False)
    assert [g is None for g in gradients] == [g is None for g in expected]
    assert all(not g.any() for g in gradients if g is not None)
    assert any(g is not None for g in gradients)


def test_without_examples_there_is_no_gradient(tiny):
    """Defect: an entropy of 0, which amft_paper took for what to keep to."""
    report, gradients, _ = learnt(tiny, [], EXPLORATION["grpo"].loss, by_advantage=True)
    assert report.sequences == 0
    assert report.entropy is None
    assert all(gradient is None for gradient in gradients)


def test_the_noise_of_a_gradient_is_what_halves_of_the_examples_differ_by(tiny):
    """None where both halves are alike; measuring it changes no gradient."""
    learner = Learner(tiny, OptimizerSettings(lr=0.0), ProcessGroup(), 100)
    objective, alike = Objective(EXPLORATION["reinforce"].loss), rollouts(tiny, [1.0, -0.5]) * 2
    other, noise, whole = rollouts(tiny, [1.0, -0.5, 0.3, 2.0]), {}, {}
    for name, examples in (("alike", alike), ("other", other), ("plain", other)):
        report = learner.gradients(examples, objective, measure_noise=name != "plain")
        noise[name] = report.noise
        whole[name] = torch.cat(
            [p.grad.flatten() for p in learner.parameters if p.grad is not None]
        )
        learner.drop_gradients()
    assert noise["alike"] < 1e-6 * float(whole["alike"].square().sum())
    assert noise["other"] > 1e-3 * float(whole["other"].square().sum())
    assert noise["plain"] == 0.0
    apart = (whole["other"] - whole["plain"]).norm() / whole["plain"].norm()
    assert float(apart) < 1e-5


def test_the_noise_of_a_gradient_is_without_its_signal_whatever_the_number(tiny):
    """Defect: of one example all of its gradient was noise, of three that are alike a ninth of it."""
    learner = Learner(tiny, OptimizerSettings(lr=0.0), ProcessGroup(), 100)
    objective = Objective(EXPLORATION["reinforce"].loss)
    for count in (1, 3):
        examples = rollouts(tiny, [1.0]) * count
        report = learner.gradients(examples, objective, measure_noise=True)
        assert report.noise < 1e-6 * learner.gradient_norm() ** 2
        learner.drop_gradients()


def test_what_ratios_are_to_is_scored_without_dropout(tiny):
    """Defect: with LoRA's dropout each was of another model."""
    learner = Learner(tiny, OptimizerSettings(lr=0.0), ProcessGroup(), 100)
    critic = ValueHead(tiny, ProcessGroup(), 100)
    asked = (lambda: learner.scored([], Objective(sft.loss)), lambda: critic.credited([], []))
    for ask in asked:
        tiny.model.train()
        ask()
        assert not tiny.model.training


def _shared():
    """The first parameter has a gradient in one process, the second in both, the third in none."""
    group, ones = ProcessGroup(), torch.ones(2)
    parameters = [torch.nn.Parameter(ones) for _ in range(3)]
    parameters[0].grad = ones.clone() if group.rank else None
    parameters[1].grad = ones * (1 + group.rank)
    group.share_gradients(parameters)
    assert [p.grad is None for p in parameters] == [False, False, True]
    assert parameters[0].grad.tolist() == [1.0, 1.0]
    assert parameters[1].grad.tolist() == [3.0, 3.0]


def test_what_has_a_gradient_in_no_process_has_none():
    """Defect: with zeros in its place the optimizer decayed what one process alone leaves as it is."""
    finish(started(_shared, 2))
