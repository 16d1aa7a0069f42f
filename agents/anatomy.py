"""What a model is made of, as transformers itself says it: no family is known by its name.

    sees(config)            whether it reads pictures beside text
    decoder_of(model)       the language model in it, without its head
    eye_of(model)           the parameters of everything before that: vision tower and what joins it on
    logits(model, hidden)   the head with the scalings that the model's own forward pass gives it
    lora_targets(model)     the projections of the language model, as peft takes them
    cache_word(model)       what the body calls the cache that it is given
    all_of_it(model)        inside nothing is dropped out; afterwards it is as it was

Whether these parts make the numbers that the model's own forward pass makes is not believed but
checked when a model is loaded: agents/self_check.py.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
)


class ModelError(ValueError):
    """A model that cannot be used, with what to do about it."""


def sees(config: Any) -> bool:
    """Whether a model of this configuration takes pictures; an error where it writes no text at all."""
    if type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return True
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return False
    raise ModelError(
        f"models of the type {config.model_type!r} are neither causal language models nor image-text-to-text "
        "models in the transformers that is installed: take one that is"
    )


def auto_class(config: Any) -> Any:
    return AutoModelForImageTextToText if sees(config) else AutoModelForCausalLM


def body_of(model: Any) -> Any:
    """Everything but the head: reads ids (and pictures), gives states."""
    return model.base_model


def decoder_of(model: Any) -> Any:
    return model.get_decoder()


def eye_of(model: Any) -> list[torch.nn.Parameter]:
    language = {id(p) for p in decoder_of(model).parameters()}
    language |= {id(p) for p in model.get_output_embeddings().parameters()}
    return [p for p in model.parameters() if id(p) not in language]


def freeze_eye(model: Any) -> None:
    for parameter in eye_of(model):
        parameter.requires_grad_(False)


def places_pictures_in_a_grid(model: Any) -> bool:
    """Whether a picture's tokens have positions by row and column."""
    return hasattr(body_of(model), "get_rope_index")


def takes(model: Any, name: str) -> bool:
    """Whether the body's forward pass has an argument of this name."""
    return name in inspect.signature(body_of(model).forward).parameters


def cache_word(model: Any) -> str:
    """`cache`, or as in earlier versions of transformers `past_key_values`."""
    return "cache" if takes(model, "cache") else "past_key_values"


def sees_all_before(model: Any) -> bool:
    """Whether every layer keeps each token's keys and values, and looks at all of them, as far as its
    configuration says so."""
    text = model.config.get_text_config()
    window = getattr(text, "sliding_window", None)
    kinds = getattr(text, "layer_types", None) or (["full"] if window is None else ["sliding"])
    return all(kind.startswith("full") for kind in kinds) and takes(model, cache_word(model))


def refuse_other_eyes(model: Any) -> None:
    """Pictures have to come as features in the place of tokens."""
    if not (hasattr(body_of(model), "get_image_features") and takes(model, "mm_encoder_outputs")):
        raise ModelError(
            f"{type(model).__name__} does not read pictures as features in the place of tokens "
            "(transformers' mm_encoder_outputs): models that reach them otherwise, as by cross-attention, "
            "are not supported"
        )


def logits(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Scores over the vocabulary, in fp32."""
    return scaled(model, model.get_output_embeddings()(hidden))


def scaled(model: Any, scores: torch.Tensor) -> torch.Tensor:
    """What the bare head gave, as the model's own forward pass goes on with it; in fp32."""
    text = model.config.get_text_config()
    scale = getattr(text, "logit_scale", None)
    if scale is not None:
        scores = scores * scale
    divisor = getattr(text, "logits_scaling", None)
    if divisor is not None:
        scores = scores / divisor
    cap = getattr(text, "final_logit_softcapping", None)
    if cap is not None:
        scores = torch.tanh(scores / cap) * cap
    return scores.float()


def lora_targets(model: Any) -> str:
    """A pattern of the full names of the language model's linear layers."""
    decoder = decoder_of(model)
    where = next(name for name, module in model.named_modules() if module is decoder)
    layers = {
        name.rpartition(".")[2]
        for name, module in decoder.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    head = model.get_output_embeddings()
    layers -= {name.rpartition(".")[2] for name, module in model.named_modules() if module is head}
    if not layers:
        raise ModelError(
            f"model.lora: {type(model).__name__} has no linear layers that an adapter could join: train "
            "all its weights (model.lora=null), or name the modules by model.lora.target_modules"
        )
    return rf"{re.escape(where)}\.(.*\.)?({'|'.join(sorted(layers))})"


@contextmanager
def all_of_it(model: Any) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
