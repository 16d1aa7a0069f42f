"""The tiny VLM: Qwen2.5-VL's architecture with about 2.3 million parameters, built from nothing.

`build_tiny_vlm(folder, seed)` writes a folder in the Hugging Face layout: random weights, a tokenizer
trained on the suite's own texts (or another's), processor and chat template. Everything that loads
`Qwen/Qwen2.5-VL-7B-Instruct` loads it. The tokenizer reads any unicode (by its bytes) and takes each
digit alone, so that numbers are read by place. Same seed, same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from agents.suite_texts import suite_texts

VOCABULARY = 2048
EPISODES_OF_TEXT = 40
PAD, TURN, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
IMAGE, VIDEO = "<|image_pad|>", "<|video_pad|>"
SPECIAL = (PAD, TURN, END, VISION_START, VISION_END, "<|vision_pad|>", IMAGE, VIDEO)

PATCH, MERGE = 7, 4
"""A token is 28 x 28 pixels, as in the large models, but of 16 small patches: a sign 12 pixels wide
is then seen by several, whatever its place."""
PIXELS = (4 * (PATCH * MERGE) ** 2, 64 * (PATCH * MERGE) ** 2)
"""The fewest and the most pixels of a picture: 4 to 64 tokens."""

# A digit, a word with the space before it, another sign with the space before it, white space.
PIECES = r"\d| ?\p{L}+| ?[^\s\p{L}\d]+|\s+"

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' -}}
{%- if message.content is string -%}
{{- message.content -}}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' -%}
{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- else -%}
{{- part.text -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


def build_tiny_vlm(
    folder: Path, seed: int = 0, tokenizer: PreTrainedTokenizerFast | None = None
) -> None:
    """Writes the untrained model, its tokenizer and its processor into `folder`. A tokenizer that is given is
    taken as it is; else one is trained."""
    tokenizer = tokenizer or train_tokenizer(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(tiny_config(tokenizer))
        scale_to_fan_in(model)
    model.generation_config.update(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tiny_processor(tokenizer).save_pretrained(folder)


@torch.no_grad()
def scale_to_fan_in(model: torch.nn.Module) -> None:
    """Weights as large as their number of inputs asks for, and what layers add to the stream small.
    transformers' 0.02 is meant for wide models: from it, a model this narrow did not begin to see in
    the time in which this one did; and with large additions words are drowned before they are used."""
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            adds = name.endswith(("o_proj.weight", "down_proj.weight", "attn.proj.weight"))
            spread = parameter[0].numel() ** -0.5 * (0.1 if adds else 1.0)
            parameter.normal_(0.0, 0.05 if "embed_tokens" in name else spread)


def train_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE on the suite's texts; every byte is in the vocabulary from the start."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(suite_texts(seed, EPISODES_OF_TEXT), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=list(SPECIAL),
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )


def tiny_config(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    number = tokenizer.get_vocab().__getitem__
    text: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "bos_token_id": number(PAD),
        "eos_token_id": number(END),
        "pad_token_id": number(PAD),
        # The three sections of the rotary embedding add up to half a head's size.
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10_000.0,
            "mrope_section": [4, 6, 6],
        },
    }
    vision = {
        "depth": 3,
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_heads": 2,
        "out_hidden_size": text["hidden_size"],
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "window_size": 2 * PATCH * MERGE,  # the first layers look around within 56 pixels
        "fullatt_block_indexes": [2],
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=number(IMAGE),
        video_token_id=number(VIDEO),
        vision_start_token_id=number(VISION_START),
        vision_end_token_id=number(VISION_END),
        tie_word_embeddings=True,
    )


def tiny_processor(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLProcessor:
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(
            min_pixels=PIXELS[0], max_pixels=PIXELS[1], patch_size=PATCH, merge_size=MERGE
        ),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=CHAT_TEMPLATE,
    )
