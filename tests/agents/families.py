"""Tiny models of every supported family, with templates that behave as the families' own do.

What matters of the templates: a system prompt that is written when none is given, pictures beside
text, and (Qwen3) thoughts that are dropped from earlier turns and an empty one in the last.
"""

from pathlib import Path

import torch
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from agents.tiny_vlm import tiny_config, train_tokenizer

SEEING = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
READING = ("qwen2", "qwen3")
FAMILIES = (*SEEING, *READING)

WITH_SYSTEM = """\
{%- if messages[0].role != 'system' -%}
{{- '<|im_start|>system\\nYou help with everything.<|im_end|>\\n' -}}
{%- endif -%}
"""
PARTS = """\
{%- macro said(content) -%}
{%- if content is string -%}{{- content -}}
{%- else -%}
{%- for part in content -%}
{%- if part.type == 'image' -%}{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- else -%}{{- part.text -}}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
"""
MESSAGES = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' + said(message.content) + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
THOUGHTS = """\
{%- for message in messages -%}
{%- set content = said(message.content) -%}
{%- if message.role == 'assistant' and '</think>' in content -%}
{%- set content = content.split('</think>')[-1].lstrip('\\n') -%}
{%- endif -%}
{%- if message.role == 'assistant' and loop.last -%}
{%- set content = '<think>\\n\\n</think>\\n\\n' + content -%}
{%- endif -%}
{{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- if enable_thinking is defined and enable_thinking is false -%}
{{- '<think>\\n\\n</think>\\n\\n' -}}
{%- endif -%}
{%- endif -%}
"""
TEMPLATES = {
    "qwen2_vl": PARTS + WITH_SYSTEM + MESSAGES,
    "qwen2_5_vl": PARTS + WITH_SYSTEM + MESSAGES,
    "qwen3_vl": PARTS + MESSAGES,
    "qwen2": PARTS + WITH_SYSTEM + MESSAGES,
    "qwen3": PARTS + THOUGHTS,
}
TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}
ROPE = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 6, 6]}


def build_family(family: str, folder: Path, seed: int = 0) -> None:
    tokenizer = train_tokenizer(seed)
    tokenizer.chat_template = TEMPLATES[family]
    number = tokenizer.convert_tokens_to_ids
    ids = {
        "bos_token_id": number("<|endoftext|>"),
        "eos_token_id": number("<|im_end|>"),
        "pad_token_id": number("<|endoftext|>"),
    }
    text = {**TEXT, **ids, "vocab_size": len(tokenizer) + 16}  # padded, as real ones are
    pictures = {
        "image_token_id": number("<|image_pad|>"),
        "video_token_id": number("<|video_pad|>"),
        "vision_start_token_id": number("<|vision_start|>"),
        "vision_end_token_id": number("<|vision_end|>"),
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if family == "qwen2":
            model = Qwen2ForCausalLM(Qwen2Config(**text))
        elif family == "qwen3":
            model = Qwen3ForCausalLM(Qwen3Config(**text))
        elif family == "qwen2_vl":
            vision = {
                "depth": 2,
                "embed_dim": 64,
                "hidden_size": 64,
                "num_heads": 2,
                "mlp_ratio": 2,
            }
            text |= {"rope_parameters": ROPE}
            config = Qwen2VLConfig(text_config=text, vision_config=vision, **pictures)
            model = Qwen2VLForConditionalGeneration(config)
        elif family == "qwen2_5_vl":
            config = tiny_config(tokenizer)  # but with the patches of the large models
            config.vision_config.patch_size, config.vision_config.spatial_merge_size = 14, 2
            model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**config.to_dict()))
        else:
            vision = {
                "depth": 2,
                "hidden_size": 64,
                "intermediate_size": 96,
                "num_heads": 2,
                "out_hidden_size": 64,
                "patch_size": 16,
                "num_position_embeddings": 64,
                "deepstack_visual_indexes": [0],
            }
            text |= {"rope_parameters": ROPE}
            config = Qwen3VLConfig(text_config=text, vision_config=vision, **pictures)
            model = Qwen3VLForConditionalGeneration(config)
    model.save_pretrained(folder)
    if family in READING:
        tokenizer.save_pretrained(folder)
        return
    patch = 16 if family == "qwen3_vl" else 14
    budget = {"min_pixels": 4 * (2 * patch) ** 2, "max_pixels": 64 * (2 * patch) ** 2}
    processor = {
        "qwen2_vl": Qwen2VLProcessor,
        "qwen2_5_vl": Qwen2_5_VLProcessor,
        "qwen3_vl": Qwen3VLProcessor,
    }[family]
    video = Qwen3VLVideoProcessor if family == "qwen3_vl" else Qwen2VLVideoProcessor
    processor(
        image_processor=Qwen2VLImageProcessor(patch_size=patch, **budget),
        tokenizer=tokenizer,
        video_processor=video(),
        chat_template=TEMPLATES[family],
    ).save_pretrained(folder)


def towers_work(policy, monkeypatch):
    """Counts pictures that reach the vision tower."""
    seen = []
    look = policy.plain_model.model.get_image_features

    def counted(pixels, grids, **options):
        seen.append(len(grids))
        return look(pixels, grids, **options)

    monkeypatch.setattr(policy.plain_model.model, "get_image_features", counted)
    return seen
