"""`train.dry_run=true`: the model on the meta device, and where the memory of a step would go.

Nothing is downloaded: a preset carries the sizes of its model (`model.sizes`), and any other model is
known by its own config.json. Figures are estimates for one device, in GiB: where each process holds all
weights, and where they are divided among several (`train.shard`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from transformers import AutoConfig, PreTrainedConfig

from agents import anatomy
from agents.loading import add_lora, config_of
from agents.locate import locate_model
from agents.policy import CHUNK
from agents.sharding import blocks_of
from amft_mm.config.fields import shown
from amft_mm.config.players import vllm_is_here
from amft_mm.config.settings import parts_of

GIB = 2**30
ADAM_BYTES = 8
"""Two moments of 4 bytes: what is trained is kept in float32 (agents/loading.py, keep_masters)."""


NEAR_A_REFERENCE = ("asft",)
"""Losses of imitation that keep the model near other weights, as `method.kl` does."""
OF_A_WRITER = ("pear",)
"""Losses of imitation that ask the model that wrote the demonstrations."""
DIFFICULTIES = 3
"""That `method.mu_per=difficulty` tells apart."""
PROCESSES = (2, 4, 8, 16)
"""That a dry run tells of."""


def describe(config: DictConfig, processes: int | None = None) -> dict[str, float]:
    """Parameters in billions, memory of a device in GiB by use: where weights are divided among so many
    `processes`; None is each process with all of them, however many there are."""
    architecture = model_config(config.model)
    model = build(architecture, config.model)
    counted, share = _counted(model), processes or 1
    trained, everything = counted["trained"], counted["everything"]
    on_cpu = config.model.device == "cpu" or not torch.cuda.is_available()
    width = 4 if config.model.dtype == "float32" or (config.model.dtype is None and on_cpu) else 2
    text = architecture.get_text_config()
    tokens, layers = config.train.micro_batch_tokens, text.num_hidden_layers
    # Kept for the backward pass: a layer's input where it is recomputed, else about 16 of them.
    kept = 1 if config.model.gradient_checkpointing else 16
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    episodes = min(config.play.slots, -(-config.train.tasks // share) * config.train.group)
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    cache = 2 * layers * heads * head * config.limits.max_tokens * episodes
    learns = config.method.balance.name.startswith("amft")
    several = config.train.minibatches * config.train.epochs > 1
    carried_on = config.method.tangent in ("curved", "exact")
    carries = carried_on and (config.method.horizon > 0 or several)
    drops = bool((config.model.lora or {}).get("lora_dropout"))
    exact = width == 4 and not drops
    curved = learns and carries and config.method.tangent == "curved" and exact
    parts = _parts(config)
    carried = (3 if carries else 1) * parts
    # With offloading these are on the device one block at a time.
    here = 0 if processes and config.train.offload else 1
    held = {
        "weights, in float32 where they are trained": (trained * 4 + (everything - trained) * width)
        / share
        * here,
        "derivative by mu, carried through Adam": carried * trained * 4 / share * here * learns,
        "optimizer": trained * ADAM_BYTES / share * here,
    }
    if second := _beside(config, trained, everything - trained, width):
        held["reference or second model"] = second / share * here
    if config.method.imitation.name in OF_A_WRITER:
        held["model that wrote the demonstrations"] = 4 * _of_the_writer(config, everything)
    learning = {
        "gradients while they are mixed": _gradients(parts) * trained * 4 / share * here,
        "activations": tokens * text.hidden_size * layers * kept * width,
        "scores of a chunk of tokens": 3 * CHUNK * text.vocab_size * 4,
    }
    if curved:
        learning["weights as they were, and a gradient further on"] = trained * 8 / share * here
    if processes:
        # What is outside the blocks is whole for a pass, two blocks are at a time, with their gradients.
        whole, block = counted["outside blocks"], 2 * counted["block"]
        learning["weights brought together for a pass"] = (whole + block) * width
        learning["their gradients before they are added up"] = (
            counted["trained outside blocks"] + counted["trained of a block"]
        ) * 4
    else:
        learning["trained weights as they compute"] = trained * width if width < 4 else 0
    playing = {"cache of the episodes at once": cache * width}
    if vllm_is_here(config.engine):  # which sleeps while others compute, if it may
        awake = playing if config.engine.sleep else held
        awake["weights of vLLM in this process"] = everything * width
    looking: dict[str, float] = {}
    if processes and config.engine.name == "hf":
        playing["whole model, to play"] = everything * width
    if processes and learns:
        looking["exploration's gradient meanwhile"] = trained * 4 / share * here
        looking["whole model and its derivative, to look"] = (everything + trained) * width
    found = {name: size / GIB for name, size in (held | learning | playing | looking).items()}
    most = max(sum(part.values()) for part in (learning, playing, looking))
    return {
        "parameters (billions)": everything / 1e9,
        "trained (billions)": trained / 1e9,
        **found,
        "together, at most": (sum(held.values()) + most) / GIB,
    }


def _beside(config: DictConfig, trained: int, still: int, width: int) -> int:
    """Bytes of other weights than the policy's: what it is kept near to, a rival, what plays meanwhile."""
    copy, found = trained * 4 + still * width, 0
    if config.method.kl > 0 or config.method.imitation.name in NEAR_A_REFERENCE:
        found += copy if config.model.lora is None else trained * 4
    if config.method.rival:
        found += copy + trained * ADAM_BYTES
    if config.train.ahead and config.engine.name == "hf":
        found += copy
    if config.method.balance.name == "mu_oracle":
        # To try a step and take it back: both gradients, weights and moments.
        found += trained * (3 * 4 + ADAM_BYTES)
    return found


def _of_the_writer(config: DictConfig, policys: int) -> int:
    """Parameters, each whole in every process and in float32; those of the policy where none is named yet."""
    name = config.method.imitation.get("behaviour")
    if name is None:
        return policys
    alone = OmegaConf.create({"name": name, "freeze_vision": False, "lora": None})
    return sum(p.numel() for p in build(model_config(alone), alone).parameters())


def _parts(config: DictConfig) -> int:
    """That have a mu of their own, and so a derivative by it."""
    if config.method.mu_per == "env":
        return len(parts_of(config.env))
    return DIFFICULTIES if config.method.mu_per == "difficulty" else 1


def _gradients(parts: int) -> int:
    """Both of a part, and of several what is mixed so far and how each moves with its mu."""
    return 2 if parts == 1 else 2 + parts


def _counted(model: Any) -> dict[str, int]:
    """Parameters, by what becomes of them."""
    blocks = [list(block.parameters()) for block in blocks_of(model)]
    inside = {id(p) for block in blocks for p in block}
    every = list(model.parameters())
    outside = [p for p in every if id(p) not in inside]

    def size(parameters: Iterable[torch.Tensor], *, trained: bool = False) -> int:
        return sum(p.numel() for p in parameters if p.requires_grad or not trained)

    return {
        "everything": size(every),
        "trained": size(every, trained=True),
        "outside blocks": size(outside),
        "trained outside blocks": size(outside, trained=True),
        "block": size(blocks[0]),
        "trained of a block": size(blocks[0], trained=True),
    }


def table(config: DictConfig) -> str:
    """A column for each number of processes."""
    columns = [describe(config), *(describe(config, n) for n in PROCESSES)]
    heads = ["each whole", *(f"1 of {n}" for n in PROCESSES)]
    names = list(dict.fromkeys(name for column in columns for name in column))
    names.sort(key=lambda name: name.startswith("together"))
    lines = [f"{'GiB of a device; shards:':<46}" + "".join(f"{head:>12}" for head in heads)]
    for name in names:
        cells = [f"{column[name]:>12.2f}" if name in column else f"{'':>12}" for column in columns]
        lines.append(f"{name:<46}" + "".join(cells))
    if config.train.offload:
        lines.append(
            "With train.offload the shards themselves are in main memory (beside 'each whole')."
        )
    return "\n".join(lines)


def model_config(model: DictConfig) -> PreTrainedConfig:
    if model.get("sizes"):
        sizes: dict[str, Any] = OmegaConf.to_container(model.sizes)  # type: ignore[assignment]
        if "model_type" not in sizes:
            raise ValueError(
                f"model.sizes={shown(sizes)}: say too what kind of model has them, as model_type:qwen2"
            )
        return AutoConfig.for_model(sizes.pop("model_type"), **sizes)
    return config_of(locate_model(model.name))


def build(architecture: PreTrainedConfig, model: DictConfig) -> Any:
    with torch.device("meta"):
        built: Any = anatomy.auto_class(architecture).from_config(architecture)
        if model.freeze_vision:
            anatomy.freeze_eye(built)
        if model.lora is not None:
            built = add_lora(built, OmegaConf.to_container(model.lora))  # type: ignore[arg-type]
    built.tie_weights()
    return built
