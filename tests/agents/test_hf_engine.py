"""engine=hf against transformers itself: cached turns, shared beginnings and all."""

import copy
import gc
import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AddedToken

from agents import anatomy
from agents.anatomy import eye_of
from agents.conversation import Conversation, Limits
from agents.engines import Request, Sampling, make_engine, written
from agents.engines.base import GREEDY
from agents.engines.hf import HFEngine
from agents.policy import Policy
from agents.self_check import own_inputs
from tests.agents.families import FAMILIES, SEEING, towers_work
from tests.agents.test_conversation import picture

SAMPLED = Sampling()
LIMITS = Limits(max_tokens=2000, max_new_tokens=12)


def played(policy, engine, sampling=SAMPLED, turns=3, seeds=range(4), rooms=None, together=True):
    """Conversations over several turns with pictures; `rooms` says which share a beginning."""
    rooms = rooms or list(seeds)
    conversations = [Conversation(policy, LIMITS) for _ in seeds]
    for turn in range(turns):
        for conversation, room in zip(conversations, rooms, strict=True):
            image = picture(100 * room + turn) if policy.pictures else None
            conversation.observe(f"Room {room}. " * (1 + turn * (room % 3)), image)
        requests = [Request(c, s, sampling, 12) for c, s in zip(conversations, seeds, strict=True)]
        batches = [requests] if together else [[request] for request in requests]
        samples = [s for batch in batches for s in written(engine, batch)]
        for conversation, sample in zip(conversations, samples, strict=True):
            conversation.act(sample.ids, sample.log_probs, sample.sampled_log_probs)
    return conversations


def naive_greedy(policy, conversation, answer, banned):
    """The likeliest tokens by a forward pass over the whole history for every token."""
    before = Conversation(policy, LIMITS)
    before.ids = conversation.ids[: answer.start]
    pictures = 0
    if policy.pictures:
        image_tokens = before.ids.count(conversation.image_id)
        while image_tokens > 0:
            image_tokens -= conversation.grids[pictures].tokens
            pictures += 1
    ids = []
    for _ in range(answer.stop - answer.start):
        given = own_inputs(policy, before.ids + ids, conversation.images[:pictures])
        with torch.no_grad():
            logits = policy.model(**given).logits[0, -1]
        logits[banned] = -torch.inf
        ids.append(int(logits.argmax()))
    return ids


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_equals_reading_everything_anew_for_every_token(policies, family):
    policy = policies[family]
    policy.model.eval()
    engine = HFEngine(policy)
    banned = engine._banned
    for conversation in played(policy, engine, GREEDY, turns=2, seeds=range(2)):
        for answer in conversation.answers:
            ids = conversation.ids[answer.start : answer.stop]
            assert ids == naive_greedy(policy, conversation, answer, banned)


def test_a_tokenizer_may_have_tokens_that_the_model_has_no_row_for(policies, tmp_path):
    """Defect: with one of them, as Gemma 3 of text alone has it, the first answer was an IndexError, and vLLM
    took no prompt."""
    small = policies["gemma3_text"]
    small.plain_model.save_pretrained(tmp_path)
    tokenizer = copy.deepcopy(small.chat_format.tokenizer)
    missing = small.vocabulary - len(tokenizer) + 1
    tokenizer.add_tokens([AddedToken(f"<extra {n}>", special=True) for n in range(missing)])
    tokenizer.save_pretrained(tmp_path)
    policy = Policy.load(str(tmp_path), device="cpu")
    assert policy.vocabulary in policy.chat_format.special_ids
    make_engine("hf", policy)  # which has it answer
    served = make_engine("vllm", policy, servers=["http://127.0.0.1:9"])
    assert max(served._never) < policy.vocabulary


def test_greedy_equals_transformers_generate(tiny):
    tiny.model.eval()
    engine = HFEngine(tiny)
    conversation = Conversation(tiny, LIMITS)
    conversation.observe("Which cards are these?", picture(3))
    [sample] = written(engine, [Request(conversation, 0, GREEDY, 12)])
    pixels, grids = tiny.pictures.pixels(conversation.images)
    ids = torch.tensor([conversation.ids])
    banned = [[i] for i in engine._banned.tolist()]
    tiny.plain_model.model.rope_deltas = None
    out = tiny.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values=pixels,
        image_grid_thw=grids,
        mm_token_type_ids=(ids == conversation.image_id).int(),
        max_new_tokens=12,
        do_sample=False,
        bad_words_ids=banned,
    )
    assert out[0, ids.shape[1] :].tolist() == sample.ids


@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_engine_sampled_is_what_the_learner_scores(policies, family):
    """The importance ratio of fresh rollouts is 1 within 1e-4."""
    policy = policies[family]
    policy.model.eval()
    conversations = played(policy, HFEngine(policy), turns=4)
    with torch.no_grad():
        scores = policy.score(conversations).log_probs
    told = torch.tensor([p for c in conversations for a in c.answers for p in a.log_probs])
    assert len(told) == len(scores)
    assert (told - scores).exp().sub(1).abs().max() < 1e-4


def test_a_sample_does_not_depend_on_what_else_is_in_the_batch(tiny):
    together = played(tiny, HFEngine(tiny), seeds=range(6))
    alone = played(tiny, HFEngine(tiny), seeds=range(6), together=False)
    few = played(tiny, HFEngine(tiny, max_rows=4, prefill_tokens=100), seeds=range(6))
    assert [c.ids for c in together] == [c.ids for c in alone] == [c.ids for c in few]


def test_seeds_decide(tiny):
    rooms = [7, 7, 7]
    first, again, other = played(tiny, HFEngine(tiny), seeds=[1, 1, 2], rooms=rooms)
    assert first.ids == again.ids
    assert first.ids != other.ids


def test_turns_of_one_conversation_have_luck_of_their_own(tiny):
    conversation = Conversation(tiny, LIMITS)
    conversation.observe("Hi.")
    request = Request(conversation, 3)
    first = request.uniforms()
    conversation.say("Hi.")
    assert not np.array_equal(first, request.uniforms())


def test_a_group_shares_its_beginning_and_a_turn_reads_only_what_is_new(tiny):
    engine = HFEngine(tiny)
    rooms = [5] * 8
    conversations = played(tiny, engine, seeds=range(8), rooms=rooms, turns=1)
    prompt = conversations[0].answers[0].start
    assert engine.tokens_read == prompt
    assert len({tuple(c.ids[:prompt]) for c in conversations}) == 1
    assert len({tuple(c.ids[prompt:]) for c in conversations}) > 1
    before = engine.tokens_read
    for conversation in conversations:
        conversation.observe("And now?")
    written(engine, [Request(c, 0, SAMPLED, 12) for c in conversations])
    answers = [c.ids[c.answers[0].stop - 1 :] for c in conversations]
    assert engine.tokens_read - before == sum(map(len, answers))


def test_equal_pictures_are_looked_at_once(tiny, monkeypatch):
    engine, looked = HFEngine(tiny), towers_work(tiny, monkeypatch)
    played(tiny, engine, seeds=range(8), rooms=[5] * 4 + [6] * 4, turns=2)
    assert looked == [2, 2]


@pytest.mark.parametrize("family", SEEING)
def test_new_weights_are_used_at_once_after_refresh(family_folders, family):
    from agents.policy import Policy

    policy = Policy.load(str(family_folders[family]), device="cpu")
    policy.model.eval()
    engine = HFEngine(policy)
    conversation = Conversation(policy, LIMITS)
    conversation.observe("Look.", picture(1))
    [before] = written(engine, [Request(conversation, 0, GREEDY, 12)])
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.mul_(1.5).add_(0.02)
    engine.refresh()
    [after] = written(engine, [Request(conversation, 0, GREEDY, 12)])
    [fresh] = written(HFEngine(policy), [Request(conversation, 0, GREEDY, 12)])
    assert after.log_probs == pytest.approx(fresh.log_probs, abs=1e-5)
    assert after.ids == fresh.ids
    assert after.log_probs != pytest.approx(before.log_probs, abs=1e-3)


def test_an_engine_with_weights_of_its_own_sees_pictures_by_the_new_ones(tiny):
    """Defect: its copy's eye counted as frozen, so pictures seen before a refresh were answered by features
    of the old eye for the rest of the run."""
    policy = copy.deepcopy(tiny)
    engine = HFEngine(policy, own_weights=True)

    def answer(engine):
        conversation = Conversation(policy, LIMITS)
        conversation.observe("Look.", picture(1))
        [sample] = written(engine, [Request(conversation, 0, GREEDY, 12)])
        return sample.log_probs

    before = answer(engine)
    with torch.no_grad():
        for parameter in eye_of(policy.plain_model):
            parameter.mul_(1.5).add_(0.02)
    assert answer(engine) == before  # until it is told
    engine.refresh()
    after = answer(engine)
    assert after == pytest.approx(answer(HFEngine(policy)), abs=1e-5)
    assert after != pytest.approx(before, abs=1e-3)


def test_rows_are_given_back(tiny):
    """A run of many episodes does not grow: released and forgotten conversations free their rows."""
    engine = HFEngine(tiny)
    for round_ in range(6):
        conversations = played(tiny, engine, seeds=range(4), turns=2)
        if round_ % 2:
            for conversation in conversations:
                engine.release(conversation)
        del conversations
        gc.collect()
    assert len(engine._rows) == 0
    assert engine._cache.rows <= 8


def test_rows_move_and_swap_without_mixing_up(tiny):
    """Conversations that come and go in any order, against each played alone."""
    rng = np.random.default_rng(0)
    engine = HFEngine(tiny)
    live, finished = {}, {}
    for turn in range(12):
        for name in rng.permutation(9)[:4].tolist():
            live.setdefault(name, Conversation(tiny, LIMITS))
        chosen = [name for name in live if rng.random() < 0.7]
        for name in chosen:
            live[name].observe(f"Turn {turn} for {name}.", picture(name))
        samples = written(engine, [Request(live[n], n, SAMPLED, 6) for n in chosen])
        for name, sample in zip(chosen, samples, strict=True):
            live[name].act(sample.ids, sample.log_probs, sample.sampled_log_probs)
        for name in [n for n in live if rng.random() < 0.2]:
            conversation = live.pop(name)
            engine.release(conversation)
            finished[name, turn] = conversation
    kept = [c for c in (*finished.values(), *live.values()) if c.answers]
    assert len(kept) > 8
    tiny.model.eval()
    with torch.no_grad():
        scores = tiny.score(kept).log_probs
    told = torch.tensor([p for c in kept for a in c.answers for p in a.log_probs])
    assert (told - scores).abs().max() < 1e-4


def test_the_models_mode_is_left_as_it_was(tiny):
    for training in (True, False):
        tiny.model.train(training)
        played(tiny, HFEngine(tiny), turns=1)
        assert tiny.model.training is training


@pytest.mark.parametrize("family", FAMILIES)
def test_stop_is_the_only_special_token_that_can_be_sampled(policies, family):
    policy = policies[family]
    for conversation in played(policy, HFEngine(policy), Sampling(temperature=2.0), turns=3):
        for answer in conversation.answers:
            ids = conversation.ids[answer.start : answer.stop]
            assert policy.chat_format.special_ids.isdisjoint(ids[:-1])
            assert max(ids) < len(policy.chat_format.tokenizer)


@pytest.mark.parametrize("kept", [0, 1, 5])
def test_an_answer_that_was_dropped_or_cut_is_forgotten(tiny, kept):
    """The cache holds what was sampled; the conversation is what counts."""
    engine = HFEngine(tiny)
    conversation = Conversation(tiny, LIMITS)
    conversation.observe("Look.", picture(2))
    [first] = written(engine, [Request(conversation, 1, SAMPLED, 12)])
    if kept:
        conversation.act(first.ids[:kept])
        conversation.observe("And here?", picture(3))
    [again] = written(engine, [Request(conversation, 1, SAMPLED, 12)])
    [fresh] = written(HFEngine(tiny), [Request(conversation, 1, SAMPLED, 12)])
    assert again.ids == fresh.ids
    assert again.log_probs == pytest.approx(fresh.log_probs, abs=1e-5)


def test_an_empty_conversation_or_one_twice_is_a_mistake(tiny):
    engine = HFEngine(tiny)
    with pytest.raises(ValueError, match="without any message"):
        engine.ask(Request(Conversation(tiny), 0))
    conversation = Conversation(tiny)
    conversation.observe("Hi.")
    with pytest.raises(ValueError, match="twice"):
        written(engine, [Request(conversation, 0), Request(conversation, 1)])


def test_an_engine_without_rows_is_refused(tiny):
    """Defect: nobody's turn ever came, and the first answer was waited for without end."""
    with pytest.raises(ValueError, match=r"max_rows=0 is out of range: allowed are 1 to"):
        make_engine("hf", tiny, max_rows=0)


def test_a_wrong_engine_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'vllm'"):
        make_engine("vlm", None)


def test_an_engine_that_is_not_installed_says_what_to_install(tiny):
    if importlib.util.find_spec("vllm"):
        pytest.skip("vLLM is installed here")
    with pytest.raises(ImportError, match=r"amft-mm\[vllm\].*vllm_cpu_env"):
        make_engine("vllm", tiny)


def test_the_cache_is_called_as_the_installed_transformers_calls_it(tiny, recwarn):
    """Defect: `past_key_values`, which transformers 5.40 takes no more, and 5.16 knows alone."""

    class Before(torch.nn.Module):
        def forward(self, input_ids, past_key_values=None): ...

    class Since(torch.nn.Module):
        def forward(self, input_ids, cache=None): ...

    for body, word in ((Before(), "past_key_values"), (Since(), "cache")):
        assert anatomy.cache_word(SimpleNamespace(base_model=body)) == word
    conversation = Conversation(tiny)
    conversation.observe("Hello")
    written(make_engine("hf", tiny), [Request(conversation, 0, SAMPLED, 3)])
    assert not [w for w in recwarn if "deprecated" in str(w.message)]
