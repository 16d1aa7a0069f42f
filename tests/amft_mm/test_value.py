"""The value head, generalised advantages, and the penalty for leaving a reference."""

import numpy as np
import pytest
import torch

from agents.conversation import Conversation, Limits
from agents.policy import Policy
from amft_mm.learning.example import Example
from amft_mm.learning.learner import Learner, OptimizerSettings
from amft_mm.learning.objective import Objective
from amft_mm.learning.reference import Reference, with_kl
from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.learning.value import ValueHead, first_tokens, gae
from amft_mm.runs.processes import ProcessGroup


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 1.0), (0.9, 0.95), (0.9, 0.0)])
def test_gae_is_the_weighted_sum_of_later_errors(gamma, lam):
    rng = np.random.default_rng(0)
    rewards, values = rng.normal(size=6), rng.normal(size=6)
    after = np.append(values[1:], 0.0)
    errors = rewards + gamma * after - values
    expected = [sum((gamma * lam) ** (k - t) * errors[k] for k in range(t, 6)) for t in range(6)]
    assert gae(rewards.tolist(), values, gamma, lam) == pytest.approx(expected)


def test_what_would_have_gone_on_is_worth_what_was_seen_last():
    values = np.array([1.0, 2.0])
    ended = gae([0.0, 0.5], values, 1.0, 1.0)
    cut = gae([0.0, 0.5], values, 1.0, 1.0, cut=True)
    assert ended == pytest.approx([0.5 - 1.0, 0.5 - 2.0])
    assert cut == pytest.approx([0.5 + 2.0 - 1.0, 0.5 + 2.0 - 2.0])


def chats(policy, turns):
    out = []
    for count in turns:
        conversation = Conversation(policy, Limits())
        for turn in range(count):
            conversation.observe(f"turn {turn} of {count}")
            conversation.say("left" if turn % 2 else "a longer answer")
        out.append(conversation)
    return out


def test_the_head_learns_returns_and_leaves_the_policy_alone(tiny):
    policy, processes = tiny, ProcessGroup()
    head = ValueHead(policy, processes, 200, lam=1.0, lr=0.05)
    examples = [Example(c) for c in chats(policy, [1, 3, 2])]
    rewards = [[1.0], [0.0, 0.0, 3.0], [0.0, -1.0]]
    learner = Learner(policy, OptimizerSettings(lr=0.0), processes, 200)
    errors = []
    for _ in range(60):
        ready = head.credited(examples, rewards)
        errors.append(np.mean([np.abs(e.returns - e.values).mean() for e in ready]))
        nothing = Objective(lambda tokens, totals: 0.0 * tokens.log_probs.sum())
        learner.gradients(ready, nothing, head)
        assert all(not p.grad.any() for p in learner.parameters if p.grad is not None)
        head.step()
        learner.drop_gradients()
    assert errors[-1] < 0.5 * errors[0]
    for example, reward in zip(ready, rewards, strict=True):
        assert example.returns == pytest.approx(np.cumsum(reward[::-1])[::-1], abs=1e-5)
    all_advantages = np.concatenate([e.advantages for e in ready])
    assert all_advantages.mean() == pytest.approx(0, abs=1e-6)
    assert all_advantages.std() == pytest.approx(1, abs=1e-3)


def test_a_step_that_is_not_finite_leaves_the_head_as_it_was(tiny):
    """Defect: after one such step the head was NaN for good, and with it all advantages of every later one,
    though `train.nonfinite` allows several."""
    head, [conversation] = ValueHead(tiny, ProcessGroup(), 200, lr=0.05), chats(tiny, [2])
    [ready] = head.credited([Example(conversation)], [[0.0, 1.0]])
    hidden = tiny.score([conversation]).hidden.detach()
    for states in (hidden * float("nan"), hidden):
        before = head.head.weight.clone()
        head.learn(states, [ready])
        head.step()
        assert head.head.weight.isfinite().all()
    assert not torch.equal(head.head.weight, before)


def test_a_value_belongs_to_the_state_before_its_answer(tiny):
    [short, long] = chats(tiny, [1, 3])
    examples = [Example(short), Example(long)]
    lengths = [a.stop - a.start for c in (short, long) for a in c.answers]
    assert first_tokens(examples) == [0, *np.cumsum(lengths)[:-1]]


def test_the_penalty_is_0_at_the_reference_and_grows_with_the_distance(tiny, tmp_path):
    conversations = chats(tiny, [2])
    reference = Reference(tiny)
    reference.freeze(tmp_path / "reference")
    same = reference(conversations)
    scores = tiny.score(conversations)
    assert torch.allclose(same, scores.log_probs, atol=1e-6)
    nothing = with_kl(lambda tokens, totals: torch.zeros(()), 1.0)
    penalties = []
    for shift in (0.0, 0.1, -0.5):
        tokens = Tokens(scores.log_probs.detach() + shift, scores.entropies, scores.lengths)
        tokens.reference_log_probs = same
        totals = Totals(len(same), 1)
        penalties.append(float(nothing(tokens, totals)))
    assert penalties[0] == pytest.approx(0, abs=1e-6)
    assert 0 < penalties[1] < penalties[2]
    assert penalties[1] == pytest.approx(np.exp(-0.1) + 0.1 - 1, rel=1e-3)
    other = Reference(tiny)
    other.freeze(tmp_path / "reference")  # as a run that goes on finds it
    assert torch.equal(other(conversations), same)


def test_the_reference_of_an_adapter_is_the_adapter_as_it_was(tmp_path):
    """Not the model below it, which is as it was before the warm-up."""
    policy = Policy.load("tiny-random", device="cpu", lora={"r": 2})
    policy.model.eval()
    conversations = chats(policy, [2])
    trained = [p for p in policy.model.parameters() if p.requires_grad]
    with torch.no_grad():
        for parameter in trained:  # a warm-up
            parameter.add_(0.1)
        frozen_at = policy.score(conversations).log_probs
        reference = Reference(policy)
        reference.freeze(tmp_path / "reference")
        for parameter in trained:
            parameter.add_(0.1)
    scores = policy.score(conversations)
    assert torch.allclose(reference(conversations), frozen_at, atol=1e-5)
    assert not torch.allclose(scores.log_probs, frozen_at)
    scores.log_probs.sum().backward()  # what was scored before is not disturbed
    assert torch.allclose(policy.score(conversations).log_probs, scores.log_probs, atol=1e-5)
    other = Reference(policy)
    other.freeze(tmp_path / "reference")  # as a run that goes on finds it
    assert torch.allclose(other(conversations), frozen_at, atol=1e-5)


def test_nothing_of_a_reference_is_dropped_out_while_the_adapter_learns(tmp_path):
    """Defect: with lora_dropout the penalty was to another random part of the reference each time."""
    policy = Policy.load("tiny-random", device="cpu", lora={"r": 2, "lora_dropout": 0.5})
    conversations = chats(policy, [2])
    with torch.no_grad():
        for parameter in policy.names():  # a warm-up
            parameter.add_(0.1)
        policy.model.eval()
        frozen_at = policy.score(conversations).log_probs
    reference = Reference(policy)
    reference.freeze(tmp_path / "reference")
    policy.model.train()
    assert torch.allclose(reference(conversations), frozen_at, atol=1e-5)
    assert policy.model.training
