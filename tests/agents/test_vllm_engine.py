"""engine=vllm, for real: the same ids and log-probabilities as the training model, live updates.

These tests need vLLM; without a GPU, `scripts/vllm_cpu_env.sh` makes an environment that has it.
"""

import os

import pytest
import torch

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
pytest.importorskip("vllm", reason="vLLM is not installed here")

from agents.conversation import Conversation, Limits
from agents.engines import Request, Sampling, make_engine, written
from agents.engines.base import GREEDY
from agents.engines.hf import HFEngine
from agents.policy import Policy
from tests.agents.test_conversation import picture
from tests.agents.test_hf_engine import played

pytestmark = pytest.mark.vllm
SMOLLM2 = os.environ.get("AMFT_MM_SMOLLM2", "")
SMALL = {"max_model_len": 1024, "max_num_seqs": 16, "max_images": 4}


@pytest.fixture(scope="module")
def policy():
    policy = Policy.load("tiny-random", device="cpu")
    policy.model.eval()
    return policy


@pytest.fixture(scope="module")
def engine(policy):
    return make_engine("vllm", policy, **SMALL)


def test_greedy_ids_equal_the_training_models_over_turns(policy, engine):
    mine = played(policy, HFEngine(policy), GREEDY)
    theirs = played(policy, engine, GREEDY)
    assert [c.ids for c in mine] == [c.ids for c in theirs]
    for a, b in zip(mine, theirs, strict=True):
        for x, y in zip(a.answers, b.answers, strict=True):
            assert x.log_probs == pytest.approx(y.log_probs, abs=1e-4)


def test_what_vllm_sampled_is_what_the_learner_scores(policy, engine):
    conversations = played(policy, engine)
    assert any(len(set(c.ids[c.answers[0].start :])) > 3 for c in conversations)
    with torch.no_grad():
        scores = policy.score(conversations).log_probs
    told = torch.tensor([p for c in conversations for a in c.answers for p in a.log_probs])
    assert (told - scores).exp().sub(1).abs().max() < 1e-4


def test_seeds_decide_and_the_batch_does_not(policy, engine):
    together = played(policy, engine, seeds=range(4))
    alone = played(policy, engine, seeds=range(4), together=False)
    assert [c.ids for c in together] == [c.ids for c in alone]
    other = played(policy, engine, seeds=[9, 9, 9, 9], rooms=[0, 1, 2, 3])
    assert [c.ids for c in together] != [c.ids for c in other]


def test_special_tokens_are_never_sampled(policy, engine):
    conversations = played(policy, engine, Sampling(temperature=2.0))
    for conversation in conversations:
        for answer in conversation.answers:
            ids = conversation.ids[answer.start : answer.stop]
            assert policy.chat_format.special_ids.isdisjoint(ids[:-1])
            assert max(ids) < len(policy.chat_format.tokenizer)


@pytest.mark.parametrize("part", ["visual", "embed_tokens"])
def test_new_weights_answer_at_once_also_for_pictures_seen_before(engine, policy, part):
    """The traps: a prompt with a picture that vLLM has cached goes on answering as the old model, which new
    weights of its eye alone show; and a head that is tied to the embedding stays the old one on a CPU."""
    conversation = Conversation(policy, Limits(max_new_tokens=12))
    conversation.observe("Look.", picture(1))
    request = Request(conversation, 0, GREEDY, 12)
    kept = {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}
    [before] = written(engine, [request])
    found = []
    try:
        with torch.no_grad():
            for name, parameter in policy.model.named_parameters():
                if part in name:
                    parameter.mul_(1.3).add_(0.01)
        engine.refresh()
        [after] = written(engine, [request])
        [expected] = written(HFEngine(policy), [request])
        found = [after, expected]
    finally:
        policy.model.load_state_dict(kept)
        engine.refresh()
    assert found[0].log_probs == pytest.approx(found[1].log_probs, abs=1e-4)
    assert found[0].log_probs != pytest.approx(before.log_probs, abs=1e-3)
    [again] = written(engine, [request])
    assert again.log_probs == pytest.approx(before.log_probs, abs=1e-5)


def test_lora_is_merged_into_what_is_sent(policy, engine):
    lora = Policy.load("tiny-random", device="cpu", lora={"r": 4})
    lora.model.eval()
    with torch.no_grad():
        for name, parameter in lora.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.05, generator=torch.Generator().manual_seed(0))
    conversation = Conversation(lora, Limits(max_new_tokens=12))
    conversation.observe("Look.", picture(1))
    request = Request(conversation, 0, GREEDY, 12)
    [expected] = written(HFEngine(lora), [request])
    [plain] = written(HFEngine(policy), [request])
    engine._backend.update(lora)
    [sent] = written(engine, [request])
    engine.refresh()
    assert sent.log_probs == pytest.approx(expected.log_probs, abs=1e-4)
    assert sent.log_probs != pytest.approx(plain.log_probs, abs=1e-3)


@pytest.mark.skipif(not SMOLLM2, reason="AMFT_MM_SMOLLM2 names no folder: docs/real_models.md")
def test_a_real_model_answers_alike():
    """Greedy ids of published weights, with their own tokenizer and system prompt, over turns."""
    policy = Policy.load(SMOLLM2, device="cpu")
    policy.model.eval()
    engine = make_engine("vllm", policy, max_model_len=1024, max_num_seqs=4)
    mine, theirs = (played(policy, one, GREEDY) for one in (HFEngine(policy), engine))
    assert [c.ids for c in mine] == [c.ids for c in theirs]
