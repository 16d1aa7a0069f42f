"""What stands in the place of a list of families: parts that make the model's own numbers, or a reason."""

from contextlib import nullcontext

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from agents import anatomy, self_check
from agents.anatomy import ModelError
from agents.engines import make_engine
from agents.engines.hf import HFEngine
from agents.engines.reach import SLIDING, Reach
from agents.policy import Policy
from agents.self_check import check_answers, check_scores, scores_openings
from tests.agents.families import FAMILIES, OTHERS, READING, UNCACHED, build_family


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_passes(policies, family):
    check_scores(policies[family])
    check_answers(policies[family], HFEngine(policies[family]))


def test_a_head_that_is_not_the_models_is_found(policies, monkeypatch):
    """Defect: the bare head was used, without the scaling and the caps of some families."""
    policy = policies["granite"]
    bare = policy.plain_model.get_output_embeddings()
    monkeypatch.setattr(anatomy, "logits", lambda model, hidden: bare(hidden).float())
    with pytest.raises(ModelError, match=r"Granite.*differ from the model's own forward pass"):
        check_scores(policy)


def test_a_cache_that_sees_too_far_is_found(policies, monkeypatch):
    """Defect: layers with a sliding window looked at everything in the engine's cache."""
    policy = policies["gemma3_text"]
    engine = HFEngine(policy)
    monkeypatch.setattr(engine._reach, "_window", 10**6)
    with pytest.raises(ModelError, match=r"engine=hf.*from its cache.*engine=vllm"):
        check_answers(policy, engine)


def test_what_a_model_cannot_read_is_said_with_its_name(policies, monkeypatch):
    def fails(policy, conversation):
        raise TypeError("forward() got an unexpected keyword")

    monkeypatch.setattr(self_check, "own_log_probs", fails)
    with pytest.raises(ModelError, match=r"LlamaForCausalLM.*unexpected keyword.*another model"):
        check_scores(policies["llama"])


@pytest.mark.parametrize(("count", "reads"), [(1, True), (None, False)])
def test_a_token_that_rounding_took_far_is_no_other_reading(monkeypatch, count, reads):
    """Defect: of a real model in bfloat16, whose scores are rounded to an eighth, chance said whether
    openings are read once, and whether it is refused."""
    policy = Policy.load("tiny-random", device="cpu", dtype=torch.bfloat16, check=False)
    score = policy.score

    def rounded(conversations):
        scores = score(conversations)
        if len(conversations) > 1:
            scores.log_probs[:count] += 0.5
        return scores

    monkeypatch.setattr(policy, "score", rounded)
    assert scores_openings(policy) == reads
    with nullcontext() if reads else pytest.raises(ModelError, match="differ"):
        check_scores(policy)


@pytest.mark.parametrize("family", UNCACHED)
def test_linear_attention_learns_and_is_sent_to_vllm_for_answers(tmp_path, family):
    """Defect: the cache of engine=hf holds no state of such layers, and answered nonsense."""
    build_family(family, tmp_path)
    policy = Policy.load(str(tmp_path), device="cpu")  # scores are exact
    with pytest.raises(ModelError, match=r"linear_attention.*engine=vllm"):
        make_engine("hf", policy)


def test_an_attention_without_masks_is_sent_to_vllm_too(policies):
    model = policies["llama"].plain_model
    own = model.config._attn_implementation
    model.config._attn_implementation = "flash_attention_2"
    try:
        with pytest.raises(ModelError, match=r"flash_attention_2.*model\.attention=sdpa"):
            Reach(model)
    finally:
        model.config._attn_implementation = own


def test_pictures_by_cross_attention_are_refused_with_the_reason():
    config = AutoConfig.for_model("mllama")
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    with pytest.raises(ModelError, match=r"Mllama.*cross-attention"):
        anatomy.refuse_other_eyes(model)


def test_what_writes_no_text_is_refused():
    with pytest.raises(ModelError, match=r"'vit'.*image-text-to-text"):
        anatomy.sees(AutoConfig.for_model("vit"))


def test_pictures_that_vllm_would_be_told_wrongly_are_refused_there(policies):
    from agents.engines.vllm import VLLMEngine

    with pytest.raises(ModelError, match=r"engine=vllm: Idefics3.*engine=hf"):
        VLLMEngine(policies["idefics3"], None)


@pytest.mark.parametrize("family", OTHERS)
def test_a_pixel_budget_is_refused_where_the_processor_has_its_own(family_folders, family):
    with pytest.raises(ModelError, match=r"max_pixels.*env\.size"):
        Policy.load(str(family_folders[family]), device="cpu", max_pixels=10_000)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "qwen2_5_vl"])
def test_lora_finds_the_language_model_alone(family_folders, family):
    """Defect: a pattern that knew the vision tower as `visual` also hit towers of other names."""
    policy = Policy.load(str(family_folders[family]), device="cpu", lora={"r": 2}, check=False)
    eye = {id(p) for p in anatomy.eye_of(policy.plain_model)}
    trained = [(n, p) for n, p in policy.model.named_parameters() if p.requires_grad]
    assert len(trained) >= 4
    towers = ("visual", "vision", "image_newline", "multi_modal", "connector")
    assert not [name for name, _ in trained if any(tower in name for tower in towers)]
    assert all("lora_" in name for name, _ in trained)
    assert eye or family in READING


def test_sliding_layers_are_known(policies):
    assert Reach(policies["mistral"].plain_model)._kinds == {SLIDING}
