"""What a group begins with is read once: the same scores and gradients by fewer tokens."""

import pytest
import torch
from transformers import DynamicCache

from agents import anatomy
from agents.conversation import Conversation, Limits
from agents.openings import Opened, opening_of
from agents.policy import Policy
from amft_mm.learning.batching import by_length
from tests.agents.families import FAMILIES, towers_work
from tests.agents.test_conversation import picture
from tests.agents.test_policy import assert_scored_plainly

WHOLE = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen2", "qwen3", "qwen3_moe", "llama", "granite")
"""Families whose layers all see everything before."""


def group(policy, number, members=3, turns=1):
    """Of one task instance: the same message and picture, other answers, of other lengths."""
    made = []
    for member in range(members):
        conversation = Conversation(policy)
        image = None if policy.pictures is None else picture(number, 56 + 28 * number, 84)
        conversation.observe("Instance " + "one " * number + "begins.", image)
        for turn in range(turns):
            conversation.say("forward() " * (1 + (member + turn) % 3))
            if turn + 1 < turns:
                shown = None if policy.pictures is None else picture(member + turn)
                conversation.observe(f"Turn {turn} of {member}.", shown)
        made.append(conversation)
    return made


def passes(policy, monkeypatch):
    """Notes how many tokens the model is given, padding included, and whether openings were read apart."""
    read, apart = [], []
    usual, before = policy.hidden_states, policy._read

    def hidden_states(batch, *others, **named):
        read.append(batch.input_ids.numel())
        return usual(batch, *others, **named)

    def reading(batch, *others):
        apart.append(isinstance(batch, Opened))
        return before(batch, *others)

    monkeypatch.setattr(policy, "hidden_states", hidden_states)
    monkeypatch.setattr(policy, "_read", reading)
    return read, apart


def gradients(policy, conversations):
    policy.model.zero_grad()
    scores = policy.score(conversations)
    weights = torch.linspace(-1, 2, len(scores.log_probs))
    (weights * scores.log_probs + 0.1 * scores.entropies).sum().backward()
    found = {n: p.grad.clone() for n, p in policy.model.named_parameters() if p.grad is not None}
    policy.model.zero_grad()
    return scores, found


@pytest.mark.parametrize("family", FAMILIES)
def test_groups_are_scored_as_the_model_itself_scores_each_of_their_episodes(policies, family):
    """Openings of different lengths in one pass, one episode alone with its own, several turns, pictures
    in the opening and after it."""
    policy = policies[family]
    conversations = [*group(policy, 1), *group(policy, 2, members=1), *group(policy, 3, turns=2)]
    conversations[0], conversations[-1] = conversations[-1], conversations[0]
    assert_scored_plainly(policy, conversations)


@pytest.mark.parametrize("family", FAMILIES)
def test_families_whose_layers_see_everything_read_openings_once(policies, family, monkeypatch):
    """And others, whose layers look back so far, or read pictures both ways, read each episode alone."""
    policy = policies[family]
    _, apart = passes(policy, monkeypatch)
    with torch.no_grad():
        policy.score(group(policy, 1))
    own = family in WHOLE or (
        family not in ("gemma3",) and anatomy.sees_all_before(policy.plain_model)
    )
    assert apart == [own]


@pytest.mark.parametrize("turns", [1, 3])
def test_gradients_are_those_of_reading_each_alone(tiny, monkeypatch, turns):
    """The openings' keys and values get theirs from all members, and so does the eye."""
    conversations = [*group(tiny, 1, turns=turns), *group(tiny, 2, turns=turns)]
    scores, found = gradients(tiny, conversations)
    monkeypatch.setattr(tiny, "reads_openings", False)
    alone, expected = gradients(tiny, conversations)
    assert torch.allclose(scores.hidden, alone.hidden, atol=1e-4)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, atol=1e-4, rtol=1e-3), name


def test_a_group_reads_its_opening_once(tiny, monkeypatch):
    conversations = group(tiny, 3, members=8)
    first = conversations[0].answers[0].start
    rests = [c.length - first for c in conversations]
    read, _ = passes(tiny, monkeypatch)
    with torch.no_grad():
        tiny.score(conversations)
    assert read == [first, 8 * max(rests)]


def test_a_picture_that_comes_again_after_the_opening_is_looked_at_once(policies, monkeypatch):
    policy = policies["qwen2_5_vl"]
    conversations = group(policy, 1, turns=3)
    for conversation in conversations:
        conversation.observe("As at the beginning.", conversation.images[0])
        conversation.say("forward()")
    shown = {image.tobytes() for c in conversations for image in c.images}
    seen = towers_work(policy, monkeypatch)
    with torch.no_grad():
        policy.score(conversations)
    assert sum(seen) == len(shown) < sum(len(c.images) for c in conversations)


def test_what_an_expert_began_is_of_the_answer(tiny, monkeypatch):
    conversations = []
    for begun in ("for", "forward() and"):
        conversation = Conversation(tiny)
        conversation.observe("Where to?", picture(1))
        conversation.begin(tiny.chat_format.answer(begun)[:2], learnt=True)
        conversation.act(tiny.chat_format.answer("ward()"))
        conversations.append(conversation)
    together = tiny.score(conversations).log_probs.detach()
    monkeypatch.setattr(tiny, "reads_openings", False)
    assert torch.allclose(together, tiny.score(conversations).log_probs.detach(), atol=1e-5)


def test_the_same_words_with_another_picture_are_another_opening(tiny):
    one, two = Conversation(tiny), Conversation(tiny)
    for conversation, seed in ((one, 1), (two, 2)):
        conversation.observe("Look.", picture(seed))
        conversation.say("forward()")
    assert one.ids == two.ids
    assert tiny.opening_of(one) != tiny.opening_of(two)
    scores = tiny.score([one, two]).log_probs.detach().reshape(2, -1)
    assert (scores[0] - scores[1]).abs().max() > 1e-4


def test_histories_of_several_windows_and_what_was_not_answered_are_read_alone(tiny):
    windows = Conversation(tiny, Limits(history=1))
    for turn in range(5):
        windows.observe(f"Turn {turn}.")
        windows.say("forward()")
    silent = Conversation(tiny)
    silent.observe("Turn 0.")
    assert windows.opened
    assert tiny.opening_of(windows) is None
    assert tiny.opening_of(silent) is None
    scores = tiny.score([windows, silent, windows])
    assert scores.lengths[1] == 0
    assert torch.equal(*scores.log_probs.split(scores.lengths)[::2])


def test_passes_that_are_made_again_going_back_read_each_alone(monkeypatch):
    """There a layer keeps no keys and values, and would silently see nothing of the opening."""
    policy = Policy.load("tiny-random", gradient_checkpointing=True)
    _, apart = passes(policy, monkeypatch)
    gradients(policy, group(policy, 1))
    assert apart == [False]


def test_a_cache_that_is_not_what_it_seems_is_not_used(family_folders, monkeypatch):
    """A configuration that does not say what its layers keep is not believed."""

    def loses(cache, indices):
        for layer in cache.layers:
            layer.keys, layer.values = layer.keys[indices] * 0, layer.values[indices] * 0

    monkeypatch.setattr(DynamicCache, "batch_select_indices", loses)
    assert not Policy.load(str(family_folders["llama"]), device="cpu").reads_openings


def test_groups_stay_together_within_the_budget(tiny):
    conversations = [c for number in (1, 2, 3) for c in group(tiny, number, members=4)]
    found = list(by_length(conversations[::-1], 250, opening=tiny.opening_of))
    assert sorted(map(id, conversations)) == sorted(id(c) for part in found for c in part)
    again = list(by_length(conversations, 250, opening=tiny.opening_of))
    assert [set(map(id, part)) for part in found] == [set(map(id, part)) for part in again]
    for part in found:
        first = {tiny.opening_of(c): c.answers[0].start for c in part}
        rest = max(c.length - c.answers[0].start for c in part)
        assert len(part) == 1 or len(first) * max(first.values()) + len(part) * rest <= 250
    assert len(found) < len(list(by_length(conversations, 250)))


def test_what_is_chosen_after_a_second_message_is_no_opening(tiny):
    """Defect: pictures of later messages were counted with the opening's tokens and not with its pictures."""
    conversation = group(tiny, 1, members=1, turns=2)[0]
    assert opening_of(conversation) is not None
    conversation.answers = conversation.answers[1:]
    assert opening_of(conversation) is None
