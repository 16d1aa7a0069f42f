"""`train.dry_run=true`: the model on the meta device, and where the memory of a step would go.

Nothing is downloaded: a preset carries the sizes of its model (`model.sizes`), and any other model is
known by its own config.json. Figures are estimates for one device, in GiB.
"""

from __future__ import annotations

from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from transformers import AutoConfig, PreTrainedConfig

from agents import anatomy
from agents.locate import locate_model
from agents.policy import CHUNK, add_lora

GIB = 2**30
ADAM_BYTES = 8
"""Two moments of 4 bytes: what is trained is kept in float32 (agents/policy.py, keep_masters)."""


def describe(config: DictConfig) -> dict[str, float]:
    """Parameters in billions, memory in GiB by use."""
    architecture = model_config(config.model)
    model = build(architecture, config.model)
    parameters = list(model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    everything = sum(p.numel() for p in parameters)
    on_cpu = config.model.device == "cpu" or not torch.cuda.is_available()
    width = 4 if config.model.dtype == "float32" or (config.model.dtype is None and on_cpu) else 2
    text = architecture.get_text_config()
    tokens, layers = config.train.micro_batch_tokens, text.num_hidden_layers
    # Kept for the backward pass: a layer's input where it is recomputed, else about 16 of them.
    kept = 1 if config.model.gradient_checkpointing else 16
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    episodes = min(config.play.slots, config.train.tasks * config.train.group)
    cache = 2 * layers * text.num_key_value_heads * head * config.limits.max_tokens * episodes
    learns = config.method.balance.name.startswith("amft")
    carried = 3 if config.method.tangent == "exact" and config.method.horizon > 0 else 1
    sizes = {
        "weights, in float32 where they are trained": trained * 4 + (everything - trained) * width,
        "trained weights as they compute": trained * width if width < 4 else 0,
        "gradients, two while they are mixed": 2 * trained * 4,
        "derivative by mu, carried through Adam": carried * trained * 4 if learns else 0,
        "optimizer": trained * ADAM_BYTES,
        "activations": tokens * text.hidden_size * layers * kept * width,
        "scores of a chunk of tokens": 3 * CHUNK * text.vocab_size * 4,
        "cache of the episodes at once": cache * width,
    }
    if config.engine.name == "vllm":
        sizes["weights of vLLM in this process"] = everything * width
    found = {name: size / GIB for name, size in sizes.items()}
    return {
        "parameters (billions)": everything / 1e9,
        "trained (billions)": trained / 1e9,
        **found,
        "together": sum(found.values()),
    }


def model_config(model: DictConfig) -> PreTrainedConfig:
    if model.get("sizes"):
        sizes: dict[str, Any] = OmegaConf.to_container(model.sizes)  # type: ignore[assignment]
        return AutoConfig.for_model(sizes.pop("model_type"), **sizes)
    return AutoConfig.from_pretrained(locate_model(model.name))


def build(architecture: PreTrainedConfig, model: DictConfig) -> Any:
    with torch.device("meta"):
        built: Any = anatomy.auto_class(architecture).from_config(architecture)
        if model.freeze_vision:
            for parameter in anatomy.eye_of(built):
                parameter.requires_grad_(False)
        if model.lora is not None:
            built = add_lora(built, OmegaConf.to_container(model.lora))  # type: ignore[arg-type]
    built.tie_weights()
    return built


def as_text(found: dict[str, float]) -> str:
    return "\n".join(f"{name:<40}{value:>10.2f}" for name, value in found.items())
