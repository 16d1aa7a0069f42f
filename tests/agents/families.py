"""Tiny models of every supported family, with templates that behave as the families' own do.

What matters of the templates: a system prompt that is written when none is given, pictures beside
text, and (Qwen3) thoughts that are dropped from earlier turns and an empty one in the last.
"""

from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    Gemma3ImageProcessor,
    Gemma3Processor,
    GotOcr2ImageProcessor,
    Idefics3ImageProcessor,
    Idefics3Processor,
    InternVLProcessor,
    InternVLVideoProcessor,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)

from agents.tiny_vlm import tiny_config, train_tokenizer

LINEAR = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_value_heads": 2,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}
"""Layers that keep a state, and not each token's keys and values."""
EXPERTS = {
    "num_experts": 2,
    "num_experts_per_tok": 1,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
}
UNCACHED = ("qwen3_next", "qwen3_5")
"""Models with such layers, of text and with pictures: learnt, and not answered by engine=hf."""
GRIDDED = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
"""Models whose pictures' tokens have places by row and column."""
OTHERS = ("gemma3", "idefics3", "smolvlm", "internvl", "llava_onevision")
"""Models whose pictures are read as their own processor reads them."""
SEEING = (*GRIDDED, *OTHERS)
LAYERS = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 24}
"""A window that the conversations of tests are longer than."""
READING: dict[str, dict] = {
    "qwen2": {},
    "qwen3": {},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
    "llama": {},
    "smollm3": {"no_rope_layers": [1, 0]},
    "mistral": {"sliding_window": 24},
    "olmo3": LAYERS,
    "phi3": {"sliding_window": 24},
    "granite": {"logits_scaling": 4.0, "embedding_multiplier": 3.0, "residual_multiplier": 0.5},
    "gemma2": {**LAYERS, "final_logit_softcapping": 0.2, "query_pre_attn_scalar": 32},
    "gemma3_text": {**LAYERS, "query_pre_attn_scalar": 32},
    "cohere": {"logit_scale": 4.0},
}
"""Models of text alone, and what a tiny one has beside the sizes that all have."""
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
CHATML = PARTS + WITH_SYSTEM + MESSAGES
TEMPLATES = {"qwen3_vl": PARTS + MESSAGES, "qwen3": PARTS + THOUGHTS}
"""Of those that are not written as CHATML."""
OTHER_MARKS = ("<image>", "<begin>", "<end>", "<fake_token_around_image>", "<global-img>")


def marked(template: str, family: str) -> str:
    """The same, with a picture's mark as the family's processor has it."""
    if family not in OTHERS:
        return template
    mark = "<begin>" if family == "gemma3" else "<image>"
    return template.replace("<|vision_start|><|image_pad|><|vision_end|>", mark)


_QWEN3_EYE = {
    "depth": 2,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_heads": 2,
    "out_hidden_size": 64,
    "patch_size": 16,
    "num_position_embeddings": 64,
}
TOWER = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
PINPOINTS = [[32, 32], [32, 64], [64, 32]]
VISION = {
    "qwen2_vl": {"depth": 2, "embed_dim": 64, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2},
    "qwen3_vl": {**_QWEN3_EYE, "deepstack_visual_indexes": [0]},
    "qwen3_5": _QWEN3_EYE,
    "gemma3": {"model_type": "siglip_vision_model", **TOWER, "vision_use_head": False},
    "idefics3": TOWER,
    "smolvlm": TOWER,
    "internvl": {**TOWER, "image_size": [32, 32], "patch_size": [8, 8]},
    "llava_onevision": {"model_type": "siglip_vision_model", **TOWER, "vision_use_head": False},
}
ELSE = {
    "idefics3": {"scale_factor": 2},
    "smolvlm": {"scale_factor": 2},
    "internvl": {"image_seq_length": 4},
    "llava_onevision": {"image_grid_pinpoints": PINPOINTS, "video_token_index": 0},
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
    if family in OTHERS:
        tokenizer.add_special_tokens({"additional_special_tokens": list(OTHER_MARKS)})
    tokenizer.chat_template = marked(TEMPLATES.get(family, CHATML), family)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = config_of_family(family, tokenizer)
        reads = family in READING or family == "qwen3_next"
        auto = AutoModelForCausalLM if reads else AutoModelForImageTextToText
        model = auto.from_config(config)
        if family == "gemma3":  # begins at zero, so that all pictures would look alike
            torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight)
    model.save_pretrained(folder)
    if reads:
        tokenizer.save_pretrained(folder)
    else:
        processor_of_family(family, tokenizer).save_pretrained(folder)


def config_of_family(family: str, tokenizer):
    number = tokenizer.convert_tokens_to_ids
    ids = {
        "bos_token_id": number("<|endoftext|>"),
        "eos_token_id": number("<|im_end|>"),
        "pad_token_id": number("<|endoftext|>"),
    }
    text = {**TEXT, **ids, "vocab_size": len(tokenizer) + 16}  # padded, as real ones are
    if family in READING:
        return AutoConfig.for_model(family, **text, **READING[family])
    if family == "qwen3_next":
        return AutoConfig.for_model(family, **text, **LINEAR, **EXPERTS)
    if family == "qwen2_5_vl":
        config = tiny_config(tokenizer)  # but with the patches of the large models
        config.vision_config.patch_size, config.vision_config.spatial_merge_size = 14, 2
        return type(config)(**config.to_dict())
    if family in (*GRIDDED, "qwen3_5"):
        rope = {**ROPE, "partial_rotary_factor": 1.0} if family == "qwen3_5" else ROPE
        linear = LINEAR if family == "qwen3_5" else {}
        return AutoConfig.for_model(
            family,
            text_config={**text, **linear, "rope_parameters": rope},
            vision_config=VISION[family],
            image_token_id=number("<|image_pad|>"),
            video_token_id=number("<|video_pad|>"),
            vision_start_token_id=number("<|vision_start|>"),
            vision_end_token_id=number("<|vision_end|>"),
        )
    image = number("<image>")
    if family == "gemma3":
        return AutoConfig.for_model(
            family,
            text_config={**text, **READING["gemma3_text"]},
            vision_config=VISION[family],
            mm_tokens_per_image=4,
            image_token_index=image,
            image_token_id=image,
            boi_token_index=number("<begin>"),
            eoi_token_index=number("<end>"),
        )
    language = {"llava_onevision": "qwen2", "internvl": "qwen2"}.get(family, "llama")
    return AutoConfig.for_model(
        family,
        text_config={"model_type": language, **text},
        vision_config=VISION[family],
        image_token_id=image,
        **({"image_token_index": image} if family == "llava_onevision" else {}),
        **ELSE.get(family, {}),
    )


def processor_of_family(family: str, tokenizer):
    template = tokenizer.chat_template
    if family in (*GRIDDED, "qwen3_5"):
        patch = 16 if family in ("qwen3_vl", "qwen3_5") else 14
        budget = {"min_pixels": 4 * (2 * patch) ** 2, "max_pixels": 64 * (2 * patch) ** 2}
        kind = {
            "qwen2_vl": Qwen2VLProcessor,
            "qwen2_5_vl": Qwen2_5_VLProcessor,
        }.get(family, Qwen3VLProcessor)
        video = Qwen3VLVideoProcessor if patch == 16 else Qwen2VLVideoProcessor
        return kind(
            image_processor=Qwen2VLImageProcessor(patch_size=patch, **budget),
            tokenizer=tokenizer,
            video_processor=video(),
            chat_template=template,
        )
    square = {"height": 32, "width": 32}
    if family == "gemma3":
        marks = {"boi_token": "<begin>", "eoi_token": "<end>", "image_token": "<image>"}
        tokenizer = with_names(tokenizer, marks)
        return Gemma3Processor(
            Gemma3ImageProcessor(size=square), tokenizer, template, image_seq_length=4
        )
    if family == "idefics3":
        pixels = Idefics3ImageProcessor(
            size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
        )
        return Idefics3Processor(pixels, tokenizer, image_seq_len=4, chat_template=template)
    if family == "smolvlm":
        pixels = SmolVLMImageProcessor(
            size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
        )
        video = SmolVLMVideoProcessor(size={"longest_edge": 64})
        return SmolVLMProcessor(pixels, tokenizer, video, image_seq_len=4, chat_template=template)
    if family == "internvl":
        marks = {
            "start_image_token": "<begin>",
            "end_image_token": "<end>",
            "context_image_token": "<image>",
            "video_token": "<|video_pad|>",
        }
        tokenizer = with_names(tokenizer, marks)
        return InternVLProcessor(
            GotOcr2ImageProcessor(size=square),
            tokenizer,
            InternVLVideoProcessor(),
            image_seq_length=4,
            chat_template=template,
        )
    return LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(size=square, image_grid_pinpoints=PINPOINTS),
        tokenizer,
        LlavaOnevisionVideoProcessor(),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=template,
        video_token="<|video_pad|>",
    )


def with_names(tokenizer, marks):
    """The same, with marks that the family's processor knows by name."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        eos_token=tokenizer.eos_token,
        pad_token=tokenizer.pad_token,
        chat_template=tokenizer.chat_template,
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
        model_specific_special_tokens=marks,
    )


def towers_work(policy, monkeypatch):
    """Counts pictures that reach the vision tower."""
    seen = []
    look = policy.plain_model.model.get_image_features

    def counted(**inputs):
        seen.append(len(inputs["image_grid_thw"]))
        return look(**inputs)

    monkeypatch.setattr(policy.plain_model.model, "get_image_features", counted)
    return seen
