"""The policy's weights under their own names, LoRA's changes added in: what another engine loads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from agents.policy import Policy
from agents.sharding import local_part, whole

SHARD_BYTES = 4 * 2**30


@torch.no_grad()
def named_weights(policy: Policy) -> Iterator[tuple[str, torch.Tensor]]:
    """One tensor at a time, whole also where they are sharded: all processes ask at once. The policy itself
    is not touched: merging and unmerging would round."""
    model = policy.plain_model
    changes = {
        name: module
        for name, module in model.named_modules()
        if hasattr(module, "get_delta_weight")
    }
    seen: set[int] = set()
    for name, tensor in model.state_dict().items():
        place = local_part(tensor).data_ptr()
        if "lora_" in name or (place and place in seen):
            continue  # tied: given once
        seen.add(place)
        owner, _, leaf = name.partition(".base_layer.")
        if leaf == "weight" and owner in changes:
            layer = changes[owner]
            for adapter in layer.active_adapters:
                tensor = tensor + layer.get_delta_weight(adapter).to(tensor.dtype)
        yield name.replace(".base_layer.", "."), whole(tensor)


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
    save_file(weights, path)
