"""The policy's weights under their own names, LoRA's changes added in: what another engine loads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from agents.anatomy import ModelError
from agents.files import weights_written
from agents.policy import Policy
from agents.sharding import local_part, whole

SHARD_BYTES = 4 * 2**30


def refuse_other_adapters(policy: Policy) -> None:
    """What is not the base's weights and a product of two small matrices: another engine would play something
    else than what is learnt."""
    for adapter in getattr(policy.model, "peft_config", {}).values():
        for option in ("use_dora", "modules_to_save", "lora_bias"):
            if value := getattr(adapter, option, None):
                raise ModelError(
                    f"model.lora={{{option}: {value}}}: other engines are given LoRA's plain products alone. "
                    "Take engine=hf, or leave it out"
                )


@torch.no_grad()
def named_weights(policy: Policy) -> Iterator[tuple[str, torch.Tensor]]:
    """One tensor at a time, whole also where they are sharded: all processes ask at once. The policy itself
    is not touched: merging and unmerging would round."""
    changes = {
        name: module
        for name, module in policy.plain_model.named_modules()
        if hasattr(module, "get_delta_weight")
    }
    for name, tensor in _below(policy):
        owner, _, leaf = name.partition(".base_layer.")
        if leaf == "weight" and owner in changes:
            layer = changes[owner]
            for adapter in layer.active_adapters:
                tensor = tensor + layer.get_delta_weight(adapter).to(tensor.dtype)
        yield _plain(name), whole(tensor)


def weight_shapes(policy: Policy) -> dict[str, tuple[int, ...]]:
    """Of what `named_weights` gives, in its order; nothing is brought together."""
    return {_plain(name): tuple(tensor.shape) for name, tensor in _below(policy)}


def _below(policy: Policy) -> Iterator[tuple[str, torch.Tensor]]:
    """The model's own, without LoRA's; those that are tied are given once."""
    seen: set[int] = set()
    for name, tensor in policy.plain_model.state_dict().items():
        place = local_part(tensor).data_ptr()
        if "lora_" not in name and not (place and place in seen):
            seen.add(place)
            yield name, tensor


def _plain(name: str) -> str:
    return name.replace(".base_layer.", ".")


def save_weights(policy: Policy, folder: Path, *, writes: bool) -> None:
    """As safetensors in `folder`, in shards, in what the policy computes in. Of several processes all come
    here; those write that have a folder of their own, or one for all of them."""
    shard: dict[str, torch.Tensor] = {}
    size = number = 0
    for name, tensor in named_weights(policy):
        if not writes:
            continue
        shard[name] = tensor.to(policy.dtype).contiguous()
        size += shard[name].numel() * shard[name].element_size()
        if size > SHARD_BYTES:
            _write(shard, folder / f"model-{number:05d}.safetensors")
            shard, size, number = {}, 0, number + 1
    if shard:
        _write(shard, folder / f"model-{number:05d}.safetensors")


def save_adapter(policy: Policy, folder: Path, *, writes: bool) -> None:
    """LoRA's changes alone, in PEFT's layout, for an engine that has the model below them. All come here."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(policy.model)
    weights = {name: whole(tensor).to(policy.dtype).contiguous() for name, tensor in state.items()}
    if writes:
        _write(weights, folder / "adapter_model.safetensors")
        for adapter in policy.model.peft_config.values():
            adapter.save_pretrained(folder)


def _write(weights: dict[str, torch.Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    with weights_written(path.parent):
        save_file(weights, path)
