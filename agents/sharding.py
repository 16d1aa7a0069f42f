"""A model whose weights are divided among the processes: torch's FSDP2 (`fully_shard`).

    sharded = ShardedModel(model, read, device, dtype)
    sharded.learner     the model, each of its weights a DTensor of which this process holds its part
    sharded.read(...)   what `read(...)` gives, with the weights brought together block by block
    with sharded.filled() as twins: ...   `sharded.player` is the whole model, for as long

`read` is all that a learning pass reads of the model, embedding, blocks and head: it runs inside one module,
the root, so that what is not in a block stays whole from the forward pass to the end of the backward pass.
All processes have to read, and go backward, equally often.

Playing is different: answers take as many passes as they take. The player is another model of the same
form, without weights, which gets all of them, in what is computed in, around a whole rollout. There is no
FSDP in it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.distributed as distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
)
from torch.distributed.tensor import DTensor, distribute_tensor

from agents.anatomy import ModelError
from agents.ranks import is_first

Twins = dict[torch.Tensor, torch.Tensor]


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor, on every process; one that is not sharded is itself. All processes ask at once."""
    if not isinstance(tensor, DTensor):
        return tensor
    here = cast(DTensor, tensor.to(tensor.device_mesh.device_type))
    found: torch.Tensor = here.full_tensor()
    return found


class ShardedModel:
    def __init__(
        self,
        model: Any,
        read: Callable[..., tuple[torch.Tensor, ...]],
        device: torch.device,
        dtype: torch.dtype,
        *,
        offload: bool = False,
    ) -> None:
        """`model` is on the CPU, and has weights on the first process alone. With `offload` weights,
        gradients and moments are in main memory when no pass needs them."""
        self._read, self.device, self._dtype, self._offload = read, device, dtype, offload
        self.player = with_empty_weights(model, "meta")
        for module in self.player.modules():
            module._buffers = {
                n: b if b is None else b.to(device) for n, b in module._buffers.items()
            }
        self.learner = with_empty_weights(model, "cpu")
        self._root = self._divided()
        self._hand_out(model)

    def read(self, *arguments: Any) -> tuple[torch.Tensor, ...]:
        found: tuple[torch.Tensor, ...] = self._root(*arguments)
        if not torch.is_grad_enabled():  # no backward pass will come to put things away
            self._root.reshard()
        return found

    @contextmanager
    def filled(self) -> Iterator[Twins]:
        """The player has the learner's weights; whose is whose. All processes enter at once."""
        twins: Twins = {}
        empty = []
        with torch.no_grad():
            for name, module in self.learner.named_modules(remove_duplicate=False):
                twin = self.player.get_submodule(name)
                for leaf, parameter in module._parameters.items():
                    if parameter is None:
                        continue
                    if parameter not in twins:
                        value = whole(parameter.detach()).to(self._dtype)
                        learns = parameter.requires_grad
                        twins[parameter] = torch.nn.Parameter(value, requires_grad=learns)
                    empty.append((twin, leaf, twin._parameters[leaf]))
                    twin._parameters[leaf] = twins[parameter]
        try:
            yield twins
        finally:
            for twin, leaf, nothing in empty:
                twin._parameters[leaf] = nothing

    def frozen(self, read: Callable[..., tuple[torch.Tensor, ...]]) -> ShardedModel:
        """Another one with the same weights, which do not train."""
        other = copy.copy(self)
        other._read = read
        other.player = with_empty_weights(self.player, "meta").requires_grad_(False)
        other.learner = with_empty_weights(self.player, "cpu").requires_grad_(False).eval()
        other._root = other._divided()
        with torch.no_grad():
            pairs = zip(other.learner.parameters(), self.learner.parameters(), strict=True)
            for mine, theirs in pairs:
                local_part(mine).copy_(local_part(theirs))
        return other

    def _divided(self) -> Any:
        """The module that reads the learner, whose weights are shards from here on and hold nothing yet."""
        mesh = init_device_mesh(self.device.type, (distributed.get_world_size(),))
        settings: dict[str, Any] = {"mesh": mesh}
        if self._dtype != torch.float32:
            settings["mp_policy"] = MixedPrecisionPolicy(self._dtype, reduce_dtype=torch.float32)
        if self._offload:
            settings["offload_policy"] = CPUOffloadPolicy(pin_memory=self.device.type != "cpu")
        root: Any = _Root(self.learner, self._read)
        for block in blocks_of(self.learner):
            fully_shard(block, **settings)
        fully_shard(root, **settings, reshard_after_forward=False)
        for module in root.modules():
            if isinstance(module, FSDPModule):
                # Losses are sums over what all processes read: their gradients are added, not averaged. A
                # pass without pictures gives the eye no gradient, where another process's pass may.
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)
                module.set_reduce_scatter_unused_params(True)
        return root

    @torch.no_grad()
    def _hand_out(self, model: Any) -> None:
        """One weight at a time, from the first process to all; buffers too, as some models save some."""
        for name, buffer in model.named_buffers():
            value = buffer.to(self.device).contiguous()
            distributed.broadcast(value, 0)
            for mine in (self.player, self.learner):
                mine.get_buffer(name).copy_(value)
        weights = dict(model.named_parameters())
        for name, parameter in self.learner.named_parameters():
            if is_first():
                value = weights[name].detach().to(self.device)
            else:
                value = torch.empty(parameter.shape, dtype=parameter.dtype, device=self.device)
            distributed.broadcast(value, 0)
            mine = distribute_tensor(
                value, parameter.device_mesh, parameter.placements, src_data_rank=None
            )
            local_part(parameter).copy_(local_part(mine))


class _Root(torch.nn.Module):
    """What is read in a learning pass, as one module."""

    def __init__(self, model: Any, read: Callable[..., tuple[torch.Tensor, ...]]) -> None:
        super().__init__()
        self.model, self._read = model, read

    def forward(self, *arguments: Any) -> tuple[torch.Tensor, ...]:
        return self._read(*arguments)


def with_empty_weights(model: Any, device: str) -> Any:
    """A copy whose parameters are of the same shapes and types, and hold nothing. On a CPU, memory that
    nobody has written to is not taken either."""
    empty = {
        id(p): torch.nn.Parameter(torch.empty_like(p, device=device), requires_grad=p.requires_grad)
        for p in model.parameters()
    }
    return copy.deepcopy(model, empty)


def blocks_of(model: Any) -> list[torch.nn.Module]:
    """The language model's layers, each of which is brought together by itself. The eye is not read in every
    pass, and is part of the rest."""
    named = model.get_base_model() if hasattr(model, "get_base_model") else model
    kinds = set(named._no_split_modules or ())
    found = [m for m in named.get_decoder().modules() if type(m).__name__ in kinds]
    if not found:
        raise ModelError(
            f"{type(named).__name__} does not say what its layers are (_no_split_modules), so that its "
            "weights can not be divided: take train.shard=false"
        )
    return found


def local_part(tensor: torch.Tensor) -> torch.Tensor:
    """What this process holds of it."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
