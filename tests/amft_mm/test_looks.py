"""Looks: what mu did to log-probabilities, to each task instance's return, and how surely."""

import math
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from agents.conversation import Conversation, Limits
from agents.policy import Policy
from agents.trajectory import ERROR, Trajectory, Turn
from amft_mm.learning.directional import by_differences, by_forward_mode
from amft_mm.learning.example import Example
from amft_mm.learning.learner import Learner, OptimizerSettings
from amft_mm.learning.mixed_step import WHOLE
from amft_mm.learning.objective import Objective
from amft_mm.methods.exploration import grpo, reinforce
from amft_mm.methods.imitation import sft
from amft_mm.methods.utility import View, utility
from amft_mm.methods.utility.next_rollout import expected_return
from amft_mm.runs.processes import ProcessGroup
from tests.agents.families import FAMILIES


def conversation(policy, number):
    made = Conversation(policy, Limits())
    for turn in range(1 + number % 3):
        made.observe(f"turn {turn} of number {number}")
        text = "left" if turn % 2 else f"a longer answer than {number}"
        made.act(policy.chat_format.answer(text))
    return made


def episode(policy, task, member, reward, **changes):
    made = conversation(policy, 3 * task + member)
    turns = [Turn(0.0, None, "")] * (len(made.answers) - 1) + [Turn(reward, None, "")]
    settings = {"success": reward > 0, **changes}
    return Trajectory(made, "world", task, member, seed=task, turns=turns, **settings)


def learner_with_z(policy, budget=100):
    """A learner whose last step had a z: as large as ten steps of Adam are, along a gradient's signs."""
    learner = Learner(policy, OptimizerSettings(lr=0.0, horizon=0.9), ProcessGroup(), budget)
    learner.drop_gradients()  # the policy is shared by many tests
    learner.gradients([Example(conversation(policy, n)) for n in range(6)], Objective(sft.loss))
    learner.mixed.tangent.z[WHOLE] = {
        p: -3e-4 * p.grad.sign() for p in learner.parameters if p.grad is not None
    }
    learner.drop_gradients()
    return learner


GROUPS = [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]


def groups(policy):
    return [
        [episode(policy, task, member, reward) for member, reward in enumerate(rewards)]
        for task, rewards in enumerate(GROUPS)
    ]


def relative(found, expected):
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_move_along_z_as_forward_mode_says(policies, family):
    """Through every family's own attention; the sum is the gradient's product with z."""
    policy = policies[family]
    learner, read = learner_with_z(policy), [conversation(policy, n) for n in range(4)]
    z = learner.mixed.z[WHOLE]
    exact = by_forward_mode(policy, z, read)
    assert relative(by_differences(policy, z, read), exact) < 3e-2
    policy.score(read).log_probs.sum().backward()
    assert float(exact.sum()) == pytest.approx(learner.mixed.along(), rel=1e-3)
    learner.drop_gradients()


def test_differences_to_one_side_do_not_bend_a_look(tiny):
    """Curvature has a direction whatever the rewards are; it is far below a look's own error."""
    learner, played = learner_with_z(tiny), groups(tiny)
    z, exact = learner.mixed.z[WHOLE], 0.0
    look = expected_return(learner, WHOLE, played)
    for members, rewards in zip(played, GROUPS, strict=True):
        for trajectory, reward in zip(members, rewards, strict=True):
            along = by_forward_mode(tiny, z, [trajectory.conversation])
            exact += float(along.sum()) * (reward - (sum(rewards) - reward) / 2) / 3
    assert look.product == pytest.approx(exact / len(GROUPS), abs=0.02 * look.error)


def test_a_look_takes_what_the_gradients_pass_has_just_scored(tiny, monkeypatch):
    """One pass instead of two; not when the weights have changed since, nor at another temperature."""
    learner, played = learner_with_z(tiny), groups(tiny)
    read = [
        Example(t.conversation, np.full(len(t.conversation.answers), 1.0 - 2.0 * (n % 2)))
        for n, t in enumerate(t for members in played for t in members)
    ]
    objective, passes, score = Objective(reinforce.loss), [], type(tiny).score
    monkeypatch.setattr(
        type(tiny), "score", lambda self, *a, **k: passes.append(len(a[0])) or score(self, *a, **k)
    )

    def looked(**settings):
        passes.clear()
        return learner.products(WHOLE, read, **settings), sum(passes)

    fresh, twice = looked()
    learner.gradients(read, objective)
    just, once = looked()
    assert [twice, once] == [2 * len(read), len(read)]
    assert just == pytest.approx(fresh, rel=2e-2, abs=1e-3)
    assert looked(temperature=0.7)[1] == 2 * len(read)
    learner.gradients(read, objective)
    learner.set_lr(1e-3)
    before = [p.detach().clone() for p in learner.parameters]
    learner.optimizer.step()
    try:
        _, count = looked()
        assert count == 2 * len(read)
    finally:
        with torch.no_grad():
            for parameter, value in zip(learner.parameters, before, strict=True):
                parameter.copy_(value)
        learner.drop_gradients()


def test_a_look_in_coarse_arithmetic_is_near_and_leaves_the_weights_alone(tiny):
    """Differences of weights would be rounded away there."""
    learner, read = learner_with_z(tiny), [conversation(tiny, n) for n in range(4)]
    before = [p.detach().clone() for p in learner.parameters]
    fine = by_forward_mode(tiny, learner.mixed.z[WHOLE], read)
    tiny.dtype = torch.bfloat16
    try:
        examples = [Example(c) for c in read]
        found = sum(learner.products(WHOLE, examples))
        coarse = by_forward_mode(tiny, learner.mixed.z[WHOLE], read)
    finally:
        tiny.dtype = torch.float32
    assert relative(coarse, fine) < 0.2
    assert found == pytest.approx(float(coarse.sum()), rel=0.1)
    sum(learner.products(WHOLE, [Example(c) for c in read]))
    assert all(torch.equal(a, b) for a, b in zip(before, learner.parameters, strict=True))
    assert all(p.requires_grad and p.is_leaf for p in tiny.model.parameters())


@pytest.mark.parametrize("budget", [20, 100, 10000])
def test_a_look_is_the_gradient_of_the_expected_return_whatever_is_explored_with(tiny, budget):
    """grpo's own gradient is of something else, by more than a factor; micro-batches change nothing."""
    learner, played = learner_with_z(tiny, budget), groups(tiny)
    look = expected_return(learner, WHOLE, played)
    each, normed = [], []
    for members, rewards in zip(played, GROUPS, strict=True):
        others = [(sum(rewards) - r) / 2 for r in rewards]
        worth = [
            np.full(len(t.conversation.answers), r - o)
            for t, r, o in zip(members, rewards, others, strict=True)
        ]
        examples = [Example(t.conversation, w) for t, w in zip(members, worth, strict=True)]
        learner.gradients(examples, Objective(reinforce.loss))
        each.append(-learner.mixed.along())
        learner.drop_gradients()
        learner.gradients(examples, Objective(grpo.loss))
        normed.append(-learner.mixed.along())
        learner.drop_gradients()
    assert look.instances == 3
    assert look.product == pytest.approx(np.mean(each), rel=2e-2)
    assert look.error == pytest.approx(math.sqrt(sum(x**2 for x in each)) / 3, rel=2e-2)
    assert each[2] == 0.0
    assert normed[0] / each[0] != pytest.approx(normed[1] / each[1], rel=0.1)


def test_what_an_expert_began_or_what_failed_is_not_looked_at(tiny):
    learner = learner_with_z(tiny)
    rewards = [1.0, 0.0, 1.0, 0.0]
    plain = [episode(tiny, 0, k, r) for k, r in enumerate(rewards[:2])]
    more = [
        episode(tiny, 0, 2, 1.0, aided=True),
        episode(tiny, 0, 3, 0.0, stop=ERROR),
    ]
    assert expected_return(learner, WHOLE, [plain + more]) == expected_return(
        learner, WHOLE, [plain]
    )


def test_a_group_that_only_an_expert_won_has_the_expert_for_a_witness(tiny):
    """Defect: the demonstration that had joined it was taken for its own success, of tokens that do not
    count, and the witness was not asked."""
    learner, asked = learner_with_z(tiny), []

    class Draws:
        def expert_of(self, trajectory):
            asked.append(trajectory)
            return Example(conversation(tiny, 5))

    played = [episode(tiny, 0, 0, 0.0), episode(tiny, 0, 1, 1.0, aided=True)]
    part = SimpleNamespace(name=WHOLE)
    look = utility("log_success", {}).look(View(1, 1, part, learner, played, Draws()))
    assert len(asked) == 1
    assert look.product


def test_there_is_nothing_to_see_where_every_group_fares_alike(tiny):
    learner = learner_with_z(tiny)
    alike = [[episode(tiny, task, k, float(task)) for k in range(3)] for task in range(2)]
    assert expected_return(learner, WHOLE, alike) is None
    assert expected_return(learner, WHOLE, []) is None
    assert expected_return(learner, WHOLE, [[episode(tiny, 0, 0, 1.0)]]) is None


SHARP = 0.025
"""A temperature at which six tokens have nearly all of the mass."""
WORTH = [0.0, 1.0] * 3
"""Of an answer of one such token."""


def one_token(policy, *ids, **told):
    made = Conversation(policy, Limits())
    made.observe("2+2?")
    if ids:
        made.act(list(ids), **told)
    return made


@contextmanager
def moved(along, far):
    """Weights that are moved, and come back."""
    before = {p: p.detach().clone() for p in along}
    with torch.no_grad():
        for p, d in along.items():
            p.add_(d, alpha=far)
        yield
        for p, value in before.items():
            p.copy_(value)


def several_minded():
    """An untrained model, which has no other answer than one token, without it."""
    policy = Policy.load("tiny-random", device="cpu", check=False)
    with torch.no_grad():
        states = policy.hidden_states(policy.batch([one_token(policy)]))[:, -1]
        policy.model.get_output_embeddings().weight[policy.logits(states).argmax()] = 0.0
    return policy


def test_a_look_at_what_older_weights_played_is_one_at_the_present_policy():
    """Defect: with train.ahead, the look was that of a mixture of two policies. The derivative of the
    expected return is known here, since answers of one token can be enumerated: by finite differences of
    the weights. Episodes are there as often as the older weights make them."""
    tiny = several_minded()
    learner = Learner(tiny, OptimizerSettings(lr=0.0), ProcessGroup(), 3000)
    random = torch.Generator().manual_seed(8)
    z, update = (
        {p: 1e-3 * torch.randn(p.shape, generator=random).sign() for p in learner.parameters}
        for _ in range(2)
    )
    learner.mixed.tangent.z[WHOLE] = z
    with torch.no_grad():
        states = tiny.hidden_states(tiny.batch([one_token(tiny)]))[:, -1]
        answers = (tiny.logits(states) / SHARP)[0].topk(len(WORTH)).indices.tolist()

    def chances():
        scores = tiny.score([one_token(tiny, a) for a in answers], temperature=SHARP)
        return scores.log_probs.double().exp().numpy()

    with torch.no_grad():
        before = chances()
    episodes = []
    for answer, chance, reward in zip(answers, before, WORTH, strict=True):
        for _ in range(round(400 * chance)):
            made = one_token(tiny, answer, log_probs=[math.log(chance)])
            turns = [Turn(reward, None, "")]
            episodes.append(
                Trajectory(made, "w", 0, len(episodes), 0, turns=turns, success=reward > 0)
            )
    part = SimpleNamespace(name=WHOLE)
    stale, fresh = (View(1, 1, part, learner, episodes, None, SHARP, age) for age in (1, 0))
    with moved(update, 0.05):
        now = chances() @ WORTH
        around = []
        for far in (0.01, -0.01):
            with moved(z, far):
                around.append(chances() @ WORTH)
        slope = (around[0] - around[1]) / 0.02
        look, biased = (utility("next_rollout", {}).look(view).product for view in (stale, fresh))
        logarithm = utility("log_success", {}).look(stale).product
    assert before.sum() > 0.99
    assert look == pytest.approx(slope, rel=0.1)
    assert logarithm == pytest.approx(slope / now, rel=0.1)
    assert abs(biased - slope) > 0.2 * abs(slope)


def test_an_episode_is_weighed_by_all_of_its_own_tokens(tiny):
    """Those of all its answers, not what an expert wrote; and no single one outweighs the others by much."""
    learner, made = Learner(tiny, OptimizerSettings(lr=0.0), ProcessGroup(), 3000), []
    for _ in range(3):
        conversation = Conversation(tiny, Limits())
        conversation.observe("first")
        conversation.begin(tiny.chat_format.answer("it is")[:-1])
        conversation.act(tiny.chat_format.answer("so")[-2:], [0.0, 0.0])
        conversation.observe("second")
        conversation.act(tiny.chat_format.answer("no")[-2:], [0.0, 0.0])
        made.append(conversation)
    with torch.no_grad():
        own = tiny.score(made[:1]).log_probs[~made[0].given()[made[0].chosen()]]
    for conversation, shift in zip(made, (0.1, -0.2, -100.0), strict=True):
        conversation.answers[0].log_probs[:] = (own[:2] + shift).tolist()
        conversation.answers[1].log_probs[:] = own[2:].tolist()
    examples = [Example(conversation) for conversation in made]
    ratios = learner.ratios(examples)
    assert ratios == pytest.approx([math.exp(-0.2), math.exp(0.4), math.exp(20)], rel=1e-3)
    view = View(1, 1, SimpleNamespace(name=WHOLE), learner, [], None, staleness=1)
    assert view.ratios(examples) == pytest.approx([math.exp(-0.2), math.exp(0.4), 2.0], rel=1e-3)
    made[0].answers[1].log_probs.clear()
    with pytest.raises(ValueError, match=r"this engine does not tell them: train\.ahead=0"):
        learner.ratios(examples)
