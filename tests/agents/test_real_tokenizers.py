"""Tokenizers as real models have them: numbers in a token, a word's beginning marked, system prompts."""

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from agents.chat_format import ChatFormat, UnsupportedTemplate
from agents.suite_texts import suite_texts
from agents.tiny_vlm import END, PAD, TURN
from tests.agents.families import CHATML

NO_SYSTEM = CHATML.replace(
    "{%- for message in messages -%}",
    "{%- if messages[0].role == 'system' -%}{{ raise_exception('no system') }}{%- endif -%}"
    "{%- for message in messages -%}",
    1,
)
INSTRUCTED = (
    "{{- bos_token -}}{%- for m in messages -%}{%- if m.role == 'user' -%}"
    "{{- '[INST] ' + m.content + ' [/INST]' -}}{%- else -%}{{- ' ' + m.content + eos_token -}}"
    "{%- endif -%}{%- endfor -%}"
)
"""As Mistral's: a space stands before an answer, and belongs to it."""


def made(kind):
    bpe = Tokenizer(models.BPE(byte_fallback=False, unk_token=PAD))
    if kind == "bytes":  # GPT-2's, OLMo's
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder, alphabet = decoders.ByteLevel(), pre_tokenizers.ByteLevel.alphabet()
    elif kind == "threes":  # Llama 3's: up to three digits in a token
        pieces = Regex(r"\p{N}{1,3}| ?\p{L}+| ?[^\s\p{L}\p{N}]+\n*|\s+")
        split = pre_tokenizers.Split(pieces, "isolated")
        level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        bpe.pre_tokenizer = pre_tokenizers.Sequence([split, level])
        bpe.decoder, alphabet = decoders.ByteLevel(), pre_tokenizers.ByteLevel.alphabet()
    else:  # Llama 2's, Mistral's, Phi 3's
        bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=kind)
        bpe.decoder, alphabet = decoders.Metaspace(prepend_scheme=kind), list("\n0123456789+-=?")
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        special_tokens=[PAD, TURN, END],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    numbers = " ".join(f"{n}" for n in range(1000) for _ in range(3))
    bpe.train_from_iterator([*suite_texts(0, 4), numbers], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=PAD,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[PAD, TURN, END],
        clean_up_tokenization_spaces=False,
        chat_template=CHATML,
    )


KINDS = ("bytes", "threes", "first", "always")


@pytest.fixture(scope="module")
def tokenizers():
    return {kind: made(kind) for kind in KINDS}


@pytest.mark.parametrize("template", [CHATML, INSTRUCTED])
@pytest.mark.parametrize("kind", KINDS)
def test_turn_by_turn_equals_the_template_at_once(tokenizers, kind, template):
    """Defects: a message or an answer that was tokenized alone began with the mark of a first word; a
    template with a space before answers was refused."""
    tokenizer = tokenizers[kind]
    own, tokenizer.chat_template = tokenizer.chat_template, template
    said = [("123 + 456 = ?", "579"), ("minus 79 = ?", "= 500"), ("Thanks.", "")]
    try:
        chat_format, ids, messages = ChatFormat(tokenizer), [], []
        for turn, (asked, answered) in enumerate(said):
            ids += chat_format.following(asked) if turn else chat_format.opening(asked)
            messages.append({"role": "user", "content": asked})
            text = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
            assert ids == tokenizer(text, add_special_tokens=False)["input_ids"], f"turn {turn}"
            answer = chat_format.answer(answered)
            assert chat_format.text(answer).strip() == answered
            ids += answer
            messages.append({"role": "assistant", "content": answered})
    finally:
        tokenizer.chat_template = own


def test_numbers_are_tokens_of_several_digits(tokenizers):
    """Else the tests here show nothing."""
    for tokenizer in tokenizers.values():
        assert len(tokenizer("123", add_special_tokens=False)["input_ids"]) < 3


def test_a_system_prompt_of_ones_own_and_an_empty_one(tokenizers):
    tokenizer = tokenizers["threes"]
    said = [
        tokenizer.decode(ChatFormat(tokenizer, system).opening("Hi"))
        for system in (None, "Be brief.", "")
    ]
    assert "You help with everything." in said[0]
    assert "Be brief." in said[1]
    assert "You help" not in said[1]
    assert "You help" not in said[2]


def test_a_format_without_system_prompts_says_so(tokenizers):
    tokenizer = tokenizers["bytes"]
    own, tokenizer.chat_template = tokenizer.chat_template, NO_SYSTEM
    try:
        ChatFormat(tokenizer)
        with pytest.raises(UnsupportedTemplate, match=r"model\.system"):
            ChatFormat(tokenizer, "Be brief.")
    finally:
        tokenizer.chat_template = own


def test_a_tokenizer_without_a_chat_format_says_so(tokenizers):
    """Defect: base models, which have none, ended in transformers' traceback."""
    tokenizer = tokenizers["bytes"]
    own, tokenizer.chat_template = tokenizer.chat_template, None
    try:
        with pytest.raises(UnsupportedTemplate, match="chat template"):
            ChatFormat(tokenizer)
    finally:
        tokenizer.chat_template = own
