"""The policy: exact scores for padded batches with pictures, LoRA, saving, and clear errors."""

import json
import shutil

import numpy as np
import pytest
import torch

from agents.anatomy import ModelError
from agents.conversation import Conversation
from agents.engines import Request, Sampling, make_engine, written
from agents.engines.vllm import VLLMEngine
from agents.policy import Policy, chunked_scores
from agents.self_check import own_inputs
from envs.paths import asset
from tests.agents.families import FAMILIES, SEEING
from tests.agents.test_conversation import picture


def some_conversations(policy, count=3):
    """Of different lengths and numbers of pictures, one with none."""
    made = []
    for number in range(count):
        conversation = Conversation(policy)
        for turn in range(number + 1):
            sees = policy.pictures is not None and (number + turn) % 3 != 1
            image = picture(10 * number + turn, 56 + 28 * turn, 84) if sees else None
            conversation.observe(f"Turn {turn} of {number}.", image)
            conversation.say("forward() " * (1 + (number + turn) % 3))
        made.append(conversation)
    return made


def scored_alike(one, other, conversations) -> bool:
    """To the last bits: the same products in memory that begins elsewhere may be summed in another order."""
    a, b = (policy.score(conversations).log_probs for policy in (one, other))
    return torch.allclose(a, b, rtol=0, atol=1e-5)


def plainly(policy, conversation):
    """Log-probabilities by the model's own forward pass over one conversation, positions and all."""
    ids = torch.tensor([conversation.ids])
    given = own_inputs(policy, conversation.ids, conversation.images)
    with torch.no_grad():
        scores = torch.log_softmax(policy.model(**given).logits[0, :-1], -1)
    chosen = torch.from_numpy(conversation.chosen())[1:]
    log_probs = scores.gather(-1, ids[0, 1:, None])[:, 0][chosen]
    entropies = -(scores.exp() * scores).sum(-1)[chosen]
    return log_probs, entropies


def assert_scored_plainly(policy, conversations):
    """All together as each by itself."""
    policy.model.eval()
    with torch.no_grad():
        scores = policy.score(conversations)
    expected = [plainly(policy, conversation) for conversation in conversations]
    assert scores.lengths == [len(log_probs) for log_probs, _ in expected]
    assert torch.allclose(scores.log_probs, torch.cat([e[0] for e in expected]), atol=2e-5)
    assert torch.allclose(scores.entropies, torch.cat([e[1] for e in expected]), atol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_equal_the_models_own_one_by_one(policies, family):
    """Padding, several pictures a conversation, and positions computed by us change nothing."""
    assert_scored_plainly(policies[family], some_conversations(policies[family]))


@pytest.mark.parametrize("family", SEEING)
def test_pictures_matter(policies, family):
    policy = policies[family]
    one, two = Conversation(policy), Conversation(policy)
    for conversation, seed in ((one, 1), (two, 2)):
        conversation.observe("Look.", picture(seed))
        conversation.say("forward()")
    scores = policy.score([one, two]).log_probs.detach().reshape(2, -1)
    assert (scores[0] - scores[1]).abs().max() > 1e-4


def test_chunks_change_neither_scores_nor_gradients():
    generator = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(8, 50, bias=False)
    targets = torch.randint(50, (23,), generator=generator)
    found = []
    for chunk in (4, 7, 1000):
        hidden = torch.randn(23, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
        head.zero_grad()
        log_probs, entropies = chunked_scores(hidden, targets, head, chunk=chunk)
        (log_probs.sum() + 0.3 * entropies.sum()).backward()
        found.append((log_probs, entropies, hidden.grad, head.weight.grad.clone()))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert torch.allclose(a, b, atol=1e-6)


def test_the_whole_vocabulary_is_held_for_a_chunk_alone():
    """The largest tensor that scoring 4,096 tokens keeps for the backward pass is one chunk's."""
    head, hidden = torch.nn.Linear(8, 500), torch.randn(4096, 8, requires_grad=True)
    sizes = []

    def pack(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        log_probs, _ = chunked_scores(hidden, torch.zeros(4096, dtype=torch.long), head, chunk=256)
    assert max(sizes) <= 256 * 500
    log_probs.sum().backward()


def test_nothing_chosen_scores_nothing(tiny):
    conversation = Conversation(tiny)
    conversation.observe("Go.")
    scores = tiny.score([conversation])
    assert scores.lengths == [0]
    assert scores.log_probs.numel() == scores.entropies.numel() == 0


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "qwen3"])
def test_a_saved_policy_loads_bit_equal(policies, family, tmp_path):
    policy = policies[family]
    policy.save(tmp_path)
    again = Policy.load(str(tmp_path), device="cpu")
    mine, theirs = policy.model.state_dict(), again.model.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    mine_c, theirs_c = some_conversations(policy), some_conversations(again)
    assert [c.ids for c in mine_c] == [c.ids for c in theirs_c]


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "qwen2"])
def test_lora_trains_the_adapter_alone_and_begins_as_the_model(family_folders, family, tmp_path):
    plain = Policy.load(str(family_folders[family]), device="cpu")
    policy = Policy.load(str(family_folders[family]), device="cpu", lora={"r": 4})
    plain.model.eval(), policy.model.eval()
    conversations = some_conversations(plain)
    assert scored_alike(plain, policy, conversations)
    policy.score(conversations).log_probs.sum().backward()
    trained = [name for name, p in policy.model.named_parameters() if p.grad is not None]
    assert trained
    assert all("lora_" in name and "visual" not in name for name in trained)
    policy.save(tmp_path)
    assert (tmp_path / "adapter_model.safetensors").exists()
    assert not (tmp_path / "model.safetensors").exists()
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.01)
    policy.save(tmp_path)
    again = Policy.load(str(tmp_path), device="cpu")
    again.model.eval()
    mine, theirs = policy.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    assert any(p.requires_grad for p in again.model.parameters())
    assert scored_alike(policy, again, conversations)
    assert not scored_alike(policy, plain, conversations)
    with pytest.raises(ModelError, match="adapter already"):
        Policy.load(str(tmp_path), device="cpu", lora={"r": 4})


def test_gradient_checkpointing_changes_no_gradient(family_folders):
    folder = str(family_folders["qwen2_5_vl"])
    found = []
    for checkpointing in (False, True):
        policy = Policy.load(folder, device="cpu", gradient_checkpointing=checkpointing)
        policy.model.train()
        policy.score(some_conversations(policy)).log_probs.sum().backward()
        found.append([p.grad for p in policy.model.parameters()])
    for a, b in zip(*found, strict=True):
        assert (a is None and b is None) or torch.allclose(a, b, atol=1e-5)


def test_the_pixel_budget_is_kept(family_folders):
    folder = str(family_folders["qwen2_5_vl"])
    policy = Policy.load(folder, device="cpu", max_pixels=8 * 28 * 28)
    conversation = Conversation(policy)
    conversation.observe("Look.", picture(0, 500, 700))
    assert conversation.grids[0].tokens <= 8
    assert policy.score([conversation]).lengths == [0]


def test_a_budget_below_one_token_is_refused(family_folders):
    with pytest.raises(ValueError, match="pixel budget"):
        Policy.load(str(family_folders["qwen2_5_vl"]), device="cpu", max_pixels=100)


def test_a_folder_without_a_processor_says_what_is_missing(family_folders, tmp_path):
    shutil.copytree(family_folders["qwen2_5_vl"], tmp_path / "bare")
    for path in (tmp_path / "bare").iterdir():
        if path.name not in ("config.json", "model.safetensors"):
            path.unlink()
    with pytest.raises(ModelError, match="processor"):
        Policy.load(str(tmp_path / "bare"), device="cpu")


def test_weights_that_cannot_be_read_are_said_so(tmp_path):
    """Defect: a file that was cut, as by a download that broke off, ended in a traceback without its name."""
    shutil.copytree(asset("tiny-vlm"), tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"cut'.*cannot be read.*Safetensor.*again"):
        Policy.load(str(tmp_path / "cut"))


@pytest.mark.parametrize("said", ["{", "[]", '{"base_model_name_or_path": "tiny"}'])
def test_an_adapter_that_cannot_be_read_is_said_so(tmp_path, said):
    """Defects: AttributeError, KeyError, and words of JSON without a file."""
    (tmp_path / "adapter_config.json").write_text(said)
    with pytest.raises(ModelError, match=tmp_path.name):
        Policy.load(str(tmp_path))


def test_a_model_that_writes_no_text_is_said_so(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(ModelError, match="type 'vit' are neither causal language models nor"):
        Policy.load(str(tmp_path), device="cpu")


def test_a_folder_that_is_no_model_is_said_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="tiny-random"):
        Policy.load(str(tmp_path))


def test_a_model_that_is_nowhere_is_said_so_by_its_name(monkeypatch):
    """It was told as advice about transformers' offline mode, without the name that was given."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("nowhere", "no/where"):
        with pytest.raises(FileNotFoundError, match=f"model='{name}': there is no such folder"):
            Policy.load(name)


def test_options_that_lora_does_not_have_are_named():
    with pytest.raises(ModelError, match=r"LoraConfig has no rank\. Mostly used are r, lora_alpha"):
        Policy.load("tiny", device="cpu", lora={"rank": 8})
    with pytest.raises(ModelError, match=r"lora=\{'r': 'many'\}"):  # a TypeError of a comparison
        Policy.load("tiny", device="cpu", lora={"r": "many"})


def test_pictures_are_scaled_as_the_model_was_trained_to_have_them(tiny):
    """A picture that fits is passed on as it is: same numbers as the processor's own."""
    image = picture(5, 112, 84)
    pixels, grid = tiny.pictures.pixels([image])
    own = tiny.processor.image_processor(images=[image], return_tensors="pt")
    assert torch.equal(grid, own["image_grid_thw"])
    assert np.allclose(pixels, own["pixel_values"], atol=1e-5)


def one_step(policy, lr):
    """The share of the trained weights that an AdamW step moves."""
    trained = [p for p in policy.model.parameters() if p.requires_grad]
    before = [p.detach().clone() for p in trained]
    conversation = Conversation(policy)
    conversation.observe("What is 1 + 1?")
    conversation.say("2 and some more words to learn from")
    policy.score([conversation]).log_probs.sum().backward()
    torch.optim.AdamW(trained, lr=lr, weight_decay=0.0).step()
    moved = sum(int((p != b).sum()) for p, b in zip(trained, before, strict=True))
    reached = sum(int((p.grad != 0).sum()) for p in trained if p.grad is not None)
    return moved / reached


@pytest.mark.parametrize("lora", [None, {"r": 4}])
def test_small_learning_rates_move_the_weights_of_a_model_that_computes_in_bfloat16(lora):
    """Defect: weights and moments in bfloat16, where a step of 1e-6 moved 0.4 % of the weights."""
    policy = Policy.load("tiny-random", device="cpu", dtype=torch.bfloat16, lora=lora)
    trained = [p for p in policy.model.parameters() if p.requires_grad]
    frozen = [p for p in policy.model.parameters() if not p.requires_grad]
    assert all(p.dtype == torch.float32 for p in trained)
    assert all(p.dtype == torch.bfloat16 for p in frozen)
    assert bool(frozen) == (lora is not None)
    assert one_step(policy, 1e-6) > 0.9


def test_what_computes_in_bfloat16_is_near_and_saves_itself_so(tmp_path):
    half = Policy.load("tiny", device="cpu", dtype=torch.bfloat16)
    whole = Policy.load("tiny", device="cpu")
    conversations = []
    for policy in (half, whole):
        conversations.append(Conversation(policy))
        conversations[-1].observe("What is 1 + 1?")
        conversations[-1].say("It is 2.")
    pairs = zip((half, whole), conversations, strict=True)
    near, exact = (policy.score([c]).log_probs.detach() for policy, c in pairs)
    assert near.dtype == torch.float32
    assert not torch.equal(near, exact)  # it did compute in fewer digits
    assert (near - exact).abs().max() < 0.1
    half.save(tmp_path)
    from safetensors.torch import load_file

    weights = load_file(tmp_path / "model.safetensors")
    assert {w.dtype for w in weights.values()} == {torch.bfloat16}
    assert (
        Policy.load(str(tmp_path), device="cpu")
        .score([conversations[1]])
        .log_probs.isfinite()
        .all()
    )


def test_what_is_saved_in_bfloat16_is_loaded_so_by_others(tmp_path):
    """Defect: config.json said float32, as which weights are kept while they train, so that who loaded the
    folder by transformers took twice the memory."""
    from transformers import AutoModelForImageTextToText

    Policy.load("tiny-random", device="cpu", dtype=torch.bfloat16).save(tmp_path)
    assert AutoModelForImageTextToText.from_pretrained(tmp_path).dtype == torch.bfloat16


def test_engine_and_learner_agree_where_both_compute_in_bfloat16():
    policy = Policy.load("tiny", device="cpu", dtype=torch.bfloat16)
    conversation = Conversation(policy)
    conversation.observe("What is 1 + 1?")
    engine = make_engine("hf", policy)
    (sample,) = written(engine, [Request(conversation, 0, Sampling(), 12)])
    conversation.act(sample.ids, sample.log_probs)
    scored = policy.score([conversation]).log_probs.detach()
    assert (scored - torch.tensor(sample.log_probs)).abs().max() < 0.1


@pytest.mark.parametrize(
    "more", [{"use_dora": True}, {"modules_to_save": ["lm_head"]}, {"lora_bias": True}]
)
def test_adapters_that_other_engines_would_play_otherwise_are_refused(more):
    """Defect: vLLM was given the base's weights and LoRA's products, without what else an adapter changes."""
    policy = Policy.load("tiny-random", device="cpu", lora={"r": 4, **more})
    with pytest.raises(ModelError, match="Take engine=hf"):
        VLLMEngine(policy, None)
