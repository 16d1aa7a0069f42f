"""A window of history: what the model was shown when it chose is what it is scored and trained on."""

import numpy as np
import pytest
import torch

from agents.batches import make_batch
from agents.conversation import Conversation, Limits
from agents.engines import Request, Sampling, written
from agents.engines.chat_messages import chat_messages
from agents.engines.hf import HFEngine
from agents.engines.openai import words
from agents.rollout import Plan, play
from agents.worlds import World, Worlds
from amft_mm.learning.batching import by_length
from amft_mm.learning.example import Example
from amft_mm.learning.learner import Learner, OptimizerSettings
from amft_mm.learning.objective import Objective
from amft_mm.methods.exploration import EXPLORATION
from amft_mm.runs.processes import ProcessGroup
from tests.agents.families import FAMILIES
from tests.agents.test_conversation import picture

TURNS = 9


def turns_shown(history):
    """For each turn which earlier ones are shown, by the rule in words: the first, and at least the last
    `history`; from twice as many on only the last `history`, and further back to the picture that is still
    the present one where the turn has none. Defect: an older picture was shown as the present one."""
    shown, told = [], []
    for turn in range(TURNS):
        later = [t for t in shown if t]
        if history is not None and turn > 1 and len(later) >= 2 * history:
            first = len(later) - history
            pictures = [t for t in later if t % 3 != 2]
            if turn % 3 == 2 and pictures:
                first = min(first, later.index(pictures[-1]))
            shown = [0, *later[first:]]
        told.append(list(shown))
        shown.append(turn)
    return told


def message(turn):
    return "Go." if turn == 0 else "Right."


def seen(policy, turn):
    """A picture of one size, so that the ids of later turns do not tell them apart."""
    return picture(turn, 56, 56) if policy.pictures and turn % 3 != 2 else None


def talked(policy, history, answers):
    conversation = Conversation(policy, Limits(history=history))
    for turn, ids in enumerate(answers):
        assert conversation.observe(message(turn), seen(policy, turn))
        conversation.act(ids)
    return conversation


@pytest.mark.parametrize("history", [0, 1, 2, 3, None])
def test_a_window_has_the_first_turn_and_the_last_ones_as_they_were(tiny, history):
    """To the id and the pixel, also after an answer that found no end."""
    whole = [tiny.chat_format.answer(f"answer {turn}") for turn in range(TURNS)]
    answers = [ids[:-1] if turn in (0, 3, 4) else ids for turn, ids in enumerate(whole)]
    conversation = talked(tiny, history, answers)
    windows = [w for w in conversation.windows() for _ in w.answers]
    assert len(windows) == len(conversation.answers) == TURNS
    for turn, shown in enumerate(turns_shown(history)):
        expected = Conversation(tiny)
        for t in [*shown, turn]:
            expected.observe(message(t), seen(tiny, t))
            expected.act(answers[t])
        answer, window = conversation.answers[turn], windows[turn]
        assert window.ids[: answer.stop] == expected.ids[: expected.answers[-1].stop]
        assert window.ids[answer.start : answer.stop] == conversation.said(turn) == answers[turn]
        pictures = window.images[: len(expected.images)]
        assert all(np.array_equal(a, b) for a, b in zip(pictures, expected.images, strict=True))
    assert conversation.chosen().sum() == sum(map(len, answers))
    assert len(conversation.chosen()) == conversation.length
    assert len(conversation.windows()) == (1 if history is None else conversation.opened + 1)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("history", [0, 1, 2])
def test_what_the_engine_sampled_is_what_the_learner_scores(policies, family, history):
    """The ratio of fresh rollouts is 1 within 1e-4, and the cache that goes on from window to window says
    what one says that reads all anew."""
    policy = policies[family]
    policy.model.eval()
    engines, told = (HFEngine(policy), None), []
    for engine in engines:
        conversations = [Conversation(policy, Limits(history=history)) for _ in range(3)]
        for turn in range(7):
            for room, conversation in enumerate(conversations):
                image = picture(10 * room + turn, 56, 56) if policy.pictures else None
                conversation.observe(message(turn), image)
            requests = [Request(c, s, Sampling(), 8) for s, c in enumerate(conversations)]
            answers = written(engine or HFEngine(policy), requests)
            for conversation, sample in zip(conversations, answers, strict=True):
                conversation.act(sample.ids, sample.log_probs, sample.sampled_log_probs)
        told.append(conversations)
    for one, other in zip(*told, strict=True):
        assert [one.said(n) for n in range(7)] == [other.said(n) for n in range(7)]
        assert one.opened >= 1
    with torch.no_grad():
        scores = policy.score(told[0])
    sampled = torch.tensor([p for c in told[0] for a in c.answers for p in a.log_probs])
    assert (sampled - scores.log_probs).exp().sub(1).abs().max() < 1e-4
    assert scores.lengths == [sum(len(a.log_probs) for a in c.answers) for c in told[0]]


@pytest.mark.parametrize("modality", ["text", "visual"])
def test_rollouts_with_a_window_are_learnt_from_as_they_were_played(tiny, modality):
    """An episode stays one conversation to every loss, however many windows it has."""
    world = World("amft/VIRL-v0", {"size": (56, 56), "attempts": 9, "modality": modality})
    worlds = Worlds(world, slots=4)
    limits = Limits(max_new_tokens=8, max_turns=6, history=1)
    plan = Plan(tasks=2, group=2, limits=limits)
    trajectories = play(worlds, tiny, HFEngine(tiny), plan)
    worlds.close()
    conversations = [t.conversation for t in trajectories]
    assert all(len(c.answers) == 6 and c.opened == 4 for c in conversations)
    worth = np.linspace(-1, 1, 6)
    learner = Learner(tiny, OptimizerSettings(lr=0.0), ProcessGroup(), 300)
    examples = [Example(c, worth) for c in conversations]
    report = learner.gradients(examples, Objective(EXPLORATION["grpo"].loss))
    learner.drop_gradients()
    assert report.sequences == len(trajectories)
    assert report.tokens == sum(len(a.log_probs) for c in conversations for a in c.answers)
    assert 0 < report.largest_ratio_error < 1e-4


def test_a_window_bounds_what_is_read_at_once(tiny):
    """An episode of many turns ends for want of room without one."""
    room = Limits(max_tokens=160, max_new_tokens=20, max_turns=30)
    limits = Limits(max_tokens=160, max_new_tokens=20, max_turns=30, history=2)
    for some, stopped in ((room, "out_of_tokens"), (limits, "out_of_turns")):
        conversation = Conversation(tiny, some)
        while conversation.observe("Right. And now?"):
            conversation.say("forward()")
            assert len(conversation.ids) <= 160
        assert conversation.stopped == stopped
    assert len(conversation.answers) == 30


def test_short_windows_are_not_padded_to_one_long_one_beyond_the_budget(tiny):
    """Defect: an episode of 38 windows of 59 tokens was read together with one of 1813, in a batch of 70,707
    tokens where 6,000 were allowed."""
    long, many = (Conversation(tiny, Limits(100_000, history=1)) for _ in range(2))
    for conversation, turns, said in ((long, 1, "go " * 900), (many, 40, "go go go")):
        for _ in range(turns):
            assert conversation.observe(said)
            conversation.say("left")
    for part in by_length([long, many], 6000):
        assert make_batch(part, 0).input_ids.numel() <= 6000
    for part in by_length([many] * 4, 6000):  # of a kind they are read together
        assert len(part) == 2


def test_an_endpoint_is_sent_the_window_alone():
    conversation = Conversation(words(), Limits(history=1))
    for turn in range(5):
        conversation.observe(f"message {turn}")
        if turn < 4:
            conversation.say(f"answer {turn}")
    told = [(m["role"], m["content"]) for m in chat_messages(conversation)]
    assert told == [
        ("user", "message 0"),
        ("assistant", "answer 0"),
        ("user", "message 3"),
        ("assistant", "answer 3"),
        ("user", "message 4"),
    ]


def test_a_history_below_nothing_is_refused():
    with pytest.raises(ValueError, match=r"history=-1.*null"):
        Limits(history=-1)
