"""The eye: equal pictures are looked at once, with the gradients of looking at each."""

import numpy as np
import pytest
import torch

from agents.conversation import Conversation
from agents.engines.base import Request, Sampling, written
from agents.engines.hf import HFEngine
from agents.policy import Policy
from tests.agents.families import GRIDDED, towers_work
from tests.agents.test_conversation import picture


def looking(policy, seeds):
    """Conversations that each see two pictures, of which some are the same."""
    made = []
    for seed in seeds:
        conversation = Conversation(policy)
        for image in (picture(seed), picture(0)):
            conversation.observe("Look.", image)
            conversation.say("forward()")
        made.append(conversation)
    return made


def gradients(policy, batches):
    policy.model.zero_grad()
    for batch in batches:
        policy.score(batch).log_probs.sum().backward()
    return {n: p.grad.clone() for n, p in policy.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("family", GRIDDED)
def test_equal_pictures_share_one_look_and_add_up_their_gradients(policies, family, monkeypatch):
    policy = policies[family]
    policy.model.train()
    conversations = looking(policy, (1, 1, 2))
    alone = gradients(policy, [[c] for c in conversations])
    seen = towers_work(policy, monkeypatch)
    together = gradients(policy, [conversations])
    assert sum(seen) == 3  # of six
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        assert torch.allclose(together[name], value, atol=1e-3, rtol=1e-3), name


def test_a_frozen_tower_looks_once_for_playing_and_learning(monkeypatch):
    """What the engine remembered under inference mode has to serve a backward pass."""
    policy = Policy.load("tiny-random", device="cpu", freeze_vision=True)
    trained = Policy.load("tiny-random", device="cpu")
    seen = towers_work(policy, monkeypatch)
    engine = HFEngine(policy)
    conversation = Conversation(policy)
    conversation.observe("Look.", picture(5))
    written(engine, [Request(conversation, 0, Sampling(), 4)])
    engine.refresh()
    both = gradients(policy, [looking(policy, (5, 6))] * 2)
    assert seen == [1, 2]
    expected = gradients(trained, [looking(trained, (5, 6))] * 2)
    assert both.keys() == {name for name in expected if "visual" not in name}
    for name, value in both.items():
        assert torch.allclose(value, expected[name], atol=1e-3, rtol=1e-3), name


def test_new_weights_are_looked_through_anew():
    policy = Policy.load("tiny-random", device="cpu")
    with torch.no_grad():
        first = policy.look([picture(1)], keep=True)["mm_encoder_outputs"]["image"].pooler_output[0]
        for parameter in policy.plain_model.model.visual.parameters():
            parameter.mul_(1.5)
        stale = policy.look([picture(1)], keep=True)["mm_encoder_outputs"]["image"].pooler_output[0]
        HFEngine(policy).refresh()
        new = policy.look([picture(1)], keep=True)["mm_encoder_outputs"]["image"].pooler_output[0]
    assert torch.equal(first, stale)
    assert not torch.allclose(first, new)


def test_pictures_of_other_shapes_are_other_pictures():
    policy = Policy.load("tiny-random", device="cpu")
    wide, high = np.zeros((28, 56, 3), np.uint8), np.zeros((56, 28, 3), np.uint8)
    with torch.no_grad():
        features = policy.look([wide, high, wide], keep=True)["mm_encoder_outputs"]["image"]
    first, second, third = features.pooler_output
    assert torch.equal(first, third)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("family", ["gemma3", "llava_onevision"])
def test_a_copy_gives_what_a_frozen_eye_saw_in_the_same_form(family_folders, family):
    """Defect: families whose tower gives one tensor for all pictures got a tuple from a copy that had seen
    them all, as the reference of a run is one."""
    policy = Policy.load(str(family_folders[family]), device="cpu", freeze_vision=True)
    conversations = looking(policy, (5, 6))
    with torch.no_grad():
        own = policy.score(conversations).log_probs
        copied = policy.frozen().score(conversations).log_probs
    assert torch.allclose(own, copied, atol=1e-5)
