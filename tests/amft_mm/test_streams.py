"""Streams in the place of demonstrations: a policy that learns from itself, told more, and from its world."""

import numpy as np
import pytest
import torch

from agents.conversation import Conversation, Limits
from agents.policy import Policy
from agents.trajectory import Trajectory, Turn
from amft_mm.learning.example import Example
from amft_mm.learning.learner import Learner, OptimizerSettings
from amft_mm.learning.objective import Objective
from amft_mm.methods.imitation import distilled, echo, sdft, sdpo
from amft_mm.methods.imitation.distilled import divergence, teacher_measure
from amft_mm.methods.imitation.streams import Offered, heard, retold
from amft_mm.runs.processes import ProcessGroup
from amft_mm.train import train
from tests.amft_mm.processes import mixed
from tests.amft_mm.test_methods import config_of


def talk(policy, answers=("left", "right")):
    """A conversation that the policy played itself."""
    conversation = Conversation(policy, Limits())
    for number, answer in enumerate(answers):
        conversation.observe(f"You see street {number}.")
        conversation.act(policy.chat_format.answer(answer))
    return conversation


def episode(policy, said="7", success=False, feedback="No, 3 + 5 is not 7.", **more):
    conversation = talk(policy, [said])
    turns = [Turn(float(success), None, feedback)]
    return Trajectory(conversation, "w", 0, 0, 0, turns=turns, success=success, **more)


def offered(policy, *members, demonstration=None):
    return Offered(policy, [((0, 0), list(members))], lambda place: demonstration)


def told(policy, example):
    """What the teacher reads first, beside what the agent did."""
    words = policy.chat_format.tokenizer.decode(example.told.ids)
    return words.partition("You see street 0.")[2].partition("<|im_end|>")[0].strip()


def gradients(policy, examples, objective):
    learner = Learner(policy, OptimizerSettings(lr=0.0), ProcessGroup(), 3000)
    report = learner.gradients(examples, objective)
    found = [p.grad.clone() for p in learner.parameters if p.grad is not None]
    learner.drop_gradients()
    return report, found


@pytest.mark.parametrize(
    ("alpha", "expected"), [(1.0, 0.510826), (0.0, 0.368064), (0.5, 0.1017495)]
)
def test_the_divergence_by_hand(alpha, expected):
    """Of (1/2, 1/2) and (9/10, 1/10); at a half both from (7/10, 3/10)."""
    policy, teacher = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.9, 0.1]]).log()
    assert float(divergence(policy, teacher, alpha)) == pytest.approx(expected, abs=1e-5)
    assert float(divergence(policy, policy, alpha)) == pytest.approx(0.0, abs=1e-6)


def test_a_teacher_that_is_told_nothing_teaches_nothing(tiny):
    """And one that is told something does, with no gradient through its own reading."""
    conversation = talk(tiny)
    for context, moves in ((conversation, False), (retold(conversation, tiny, "Go left."), True)):
        example = Example(conversation, told=context)

        def measure(examples):
            return teacher_measure(tiny, 1.0, examples)

        report, found = gradients(tiny, [example], Objective(distilled.loss, measure=measure))
        assert (report.loss > 1e-6) is moves
        assert any(float(g.abs().max()) > 1e-5 for g in found) is moves


def test_a_teacher_is_read_without_dropout():
    """Defect: it had a mask of its own, and the policy learnt the difference of two masks."""
    policy = Policy.load("tiny-random", device="cpu", lora={"r": 4, "lora_dropout": 0.5})
    for name, parameter in policy.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    conversation = talk(policy)
    example = Example(conversation, told=retold(conversation, policy, "Go left."))
    even = torch.log_softmax(torch.zeros(1, policy.plain_model.lm_head.out_features), -1)
    policy.model.train()
    one, other = (
        teacher_measure(policy, 1.0, [example])(even, slice(0, 1)).item() for _ in range(2)
    )
    assert one == other
    assert policy.model.training


def test_the_gradient_is_of_the_policy_at_its_own_tokens(tiny):
    """Against KL(policy || teacher) written out over both distributions."""
    conversation = talk(tiny)
    example = Example(conversation, told=retold(conversation, tiny, "Go left."))
    objective = Objective(distilled.loss, measure=lambda e: teacher_measure(tiny, 1.0, e))
    report, found = gradients(tiny, [example], objective)
    head = tiny.plain_model.lm_head
    with torch.no_grad():
        teacher = torch.log_softmax(head(tiny.score([example.told]).hidden), -1)
    policy = torch.log_softmax(head(tiny.score([conversation]).hidden), -1)
    loss = (policy.exp() * (policy - teacher)).sum(-1).mean()
    loss.backward()
    parameters = [p for p in tiny.model.parameters() if p.requires_grad and p.grad is not None]
    expected = [p.grad.clone() for p in parameters]
    for parameter in parameters:
        parameter.grad = None
    assert report.loss == pytest.approx(float(loss.detach()), abs=1e-6)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_what_is_told_comes_with_the_first_message_and_changes_no_answer(tiny):
    conversation = talk(tiny)
    again = retold(conversation, tiny, "It was right.")
    said = [[c.ids[a.start : a.stop] for a in c.answers] for c in (conversation, again)]
    assert said[0] == said[1]
    assert again.messages[0][0] == "You see street 0.\n\nIt was right."
    assert again.messages[1] == conversation.messages[1]


def test_the_words_of_the_world_are_what_it_said_after_the_first_answer(tiny):
    conversation = talk(tiny, ["left", "right", "on"])
    conversation.observe("You have arrived.")
    world = heard(conversation, tiny)
    decode = tiny.chat_format.tokenizer.decode
    words = [decode(world.ids[a.start : a.stop]) for a in world.answers]
    heard_words = "".join(words)
    assert all(f"You see street {k}." in heard_words for k in (1, 2))
    assert "You have arrived." in heard_words
    assert "street 0" not in heard_words
    assert not any(word in heard_words for word in ("left", "right", "on\n"))
    assert not set(np.array(world.ids)[world.chosen()]) & tiny.chat_format.special_ids
    assert conversation.answers[0].text == "left"  # as it was


@pytest.mark.parametrize("family", ["qwen2_5_vl", "gemma3", "llama"])
def test_nothing_that_the_chat_writes_around_words_is_heard(policies, family):
    """Defect: the roles' names and the line ends around messages were a third of what was learnt."""
    policy = policies[family]
    image = None if policy.pictures is None else np.full((56, 56, 3), 200, np.uint8)
    conversation = Conversation(policy, Limits())
    shown = [("You see street 0.", image), ("Right. Go on.", None), ("No, look again.", image)]
    for number, (words, picture) in enumerate(shown):
        conversation.observe(words, picture)
        # The second answer is cut.
        conversation.act(policy.chat_format.answer("left")[: None if number != 1 else -1])
    world = heard(conversation, policy)
    decode = policy.chat_format.tokenizer.decode
    found = [decode(world.ids[a.start : a.stop]).strip() for a in world.answers]
    assert found == [words for words, _ in shown[1:]]


def test_echo_is_the_cross_entropy_of_these_words(tiny):
    episodes = [episode(tiny), episode(tiny)]
    episodes[0].conversation.observe("You have arrived.")
    examples = echo.stream(offered(tiny, *episodes))
    assert len(examples) == 1  # the other one ended with its answer
    report, found = gradients(tiny, examples, Objective(echo.loss))
    with torch.no_grad():
        log_probs = tiny.score([examples[0].conversation]).log_probs
    assert report.loss == pytest.approx(float(-log_probs.mean()), abs=1e-6)
    assert any(g.any() for g in found)


def test_sdpo_tells_what_was_right_or_else_what_was_wrong(tiny):
    lost, won, also = (episode(tiny, "7"), episode(tiny, "8", True), episode(tiny, "five"))
    by_sibling = sdpo.stream(offered(tiny, lost, won))
    assert [told(tiny, e) for e in by_sibling] == ["These answers were right before:\n8"]
    by_feedback = sdpo.stream(offered(tiny, lost, also))
    assert len(by_feedback) == 2
    assert told(tiny, by_feedback[0]).endswith("What was said to it:\nNo, 3 + 5 is not 7.")
    assert sdpo.stream(offered(tiny, won)) == []  # alone there is nothing to tell
    assert sdpo.stream(offered(tiny, lost, won), siblings=False, feedback=False) == []
    assert len(sdpo.stream(offered(tiny, lost, won), siblings=False)) == 1


@pytest.mark.parametrize("more", [{"aided": True}, {"stop": "error"}, {"feedback": ""}])
def test_sdpo_leaves_out_what_it_can_not_tell_or_what_was_not_its_own(tiny, more):
    assert sdpo.stream(offered(tiny, episode(tiny, **more))) == []


def test_sdft_tells_what_the_expert_answered(tiny):
    class Row:
        answers = ("First", "then 8.")

    examples = sdft.stream(offered(tiny, episode(tiny), episode(tiny, "8"), demonstration=Row))
    assert [told(tiny, e) for e in examples] == ["An expert answered this by:\nFirst\nthen 8."] * 2


def rows_of(folder, name, *settings):
    train(config_of(folder, name, *settings))
    return mixed(folder / "run")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("sdpo", []),
        ("sdpo", ["method.imitation.alpha=0.5", "method.balance.mu=0.3"]),
        ("sdft", []),
        ("echo", ["env.attempts=3"]),
        ("amft", ["method.imitation={name:sdpo}"]),
    ],
)
def test_a_stream_trains_in_the_place_of_demonstrations(tmp_path, name, settings):
    rows = rows_of(tmp_path, name, *settings)
    assert all(np.isfinite(row["grad/norm"]) and row["grad/norm"] > 0 for row in rows)
    assert all(row["tokens/stream"] > 0 for row in rows)
    assert all(row.get("tokens/demo", 0) == 0 for row in rows)


def test_a_step_in_which_a_stream_is_empty_says_so(tmp_path):
    """Sums with one attempt: the world says nothing after the only answer."""
    rows = rows_of(tmp_path, "echo")
    assert [row["tokens/stream"] for row in rows] == [0, 0, 0]
    assert all(np.isfinite(row["grad/norm"]) for row in rows)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("sdpo", ["method.guidance={name:failing}"], "learns from rollouts"),
        ("amft", ["method.imitation={name:sdft}"], "method.guidance.name=shown does"),
    ],
)
def test_streams_that_do_not_go_together_with_a_guidance_are_refused(
    tmp_path, name, settings, words
):
    with pytest.raises(ValueError, match=words):
        train(config_of(tmp_path, name, *settings))
