"""The tiny VLM as any Hugging Face model: loads, reads any text, tells pictures apart."""

import filecmp
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from agents.locate import locate_model
from agents.suite_texts import WORLDS, suite_texts
from agents.tiny_vlm import SPECIAL, build_tiny_vlm


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    build_tiny_vlm(folder, seed=0)
    return folder


@pytest.fixture(scope="session")
def processor(folder):
    return AutoProcessor.from_pretrained(folder)


@pytest.fixture(scope="session")
def model(folder):
    return AutoModelForImageTextToText.from_pretrained(folder).eval()


def test_it_is_tiny_and_loads_like_any_other(folder, model, processor):
    assert type(model).__name__ == "Qwen2_5_VLForConditionalGeneration"
    assert type(processor).__name__ == "Qwen2_5_VLProcessor"
    assert 1_000_000 < sum(p.numel() for p in model.parameters()) < 3_000_000
    assert sum(path.stat().st_size for path in folder.iterdir()) < 10_000_000


def test_before_its_pretraining_it_has_the_same_words():
    """Its tokenizer was trained anew in each process, on texts that had changed since the weights were made:
    1,767 words instead of 1,732, and seconds of each start."""
    untrained, tiny = (
        AutoProcessor.from_pretrained(locate_model(name)).tokenizer
        for name in ("tiny-random", "tiny")
    )
    assert untrained.get_vocab() == tiny.get_vocab()
    assert "".join(SPECIAL) == untrained.decode(untrained.encode("".join(SPECIAL)))
    assert untrained.eos_token_id == tiny.eos_token_id


@pytest.mark.slow
def test_the_same_seed_builds_the_same_files(folder, tmp_path):
    build_tiny_vlm(tmp_path, seed=0)
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    assert filecmp.cmpfiles(folder, tmp_path, names, shallow=False)[0] == names


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=80))
def test_any_text_comes_back_from_its_tokens(processor, text):
    tokenizer = processor.tokenizer
    ids = tokenizer(text, split_special_tokens=True)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert not set(ids) & set(tokenizer.convert_tokens_to_ids(list(SPECIAL)))


def test_spelled_out_special_tokens_are_plain_text(processor):
    ids = processor.tokenizer("".join(SPECIAL), split_special_tokens=True)["input_ids"]
    assert not set(ids) & set(processor.tokenizer.convert_tokens_to_ids(list(SPECIAL)))


def test_each_digit_is_a_token(processor):
    tokens = processor.tokenizer.tokenize("24 + 1035")
    assert [t for t in tokens if re.search(r"\d", t)] == list("241035")


def test_the_suites_texts_are_short_in_tokens(processor):
    texts = list(suite_texts(seed=10_000, episodes=2))
    assert len(texts) > 4 * len(WORLDS)
    characters = sum(map(len, texts))
    tokens = sum(len(processor.tokenizer(text)["input_ids"]) for text in texts)
    assert characters / tokens > 3


def logits(model, processor, image):
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Cards?"}]}
    text = processor.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    batch = processor(text=[text], images=[image], return_tensors="pt")
    with torch.no_grad():
        return model(**batch).logits[0, -1]


def test_two_pictures_are_told_apart(model, processor):
    """A model whose picture features are constant would make every test with pictures vacuous."""
    rng = np.random.default_rng(0)
    one, two = (Image.fromarray(rng.integers(0, 256, (112, 112, 3), np.uint8)) for _ in range(2))
    assert torch.equal(logits(model, processor, one), logits(model, processor, one))
    assert (logits(model, processor, one) - logits(model, processor, two)).abs().max() > 1e-3


def test_a_picture_takes_the_tokens_that_it_should(processor):
    for size, tokens in (((112, 112), 16), ((56, 112), 8), ((500, 500), 64)):
        image = Image.new("RGB", size)
        ids = processor(text=["<|image_pad|>"], images=[image])["input_ids"][0]
        assert len(ids) == tokens
