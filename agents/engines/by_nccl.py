"""New weights to servers from GPU to GPU: no folder that both see, and nothing written.

vLLM's own transfer of weights (`vllm serve ... --weight-transfer-config '{"backend": "nccl"}'`), told over
the servers' routes: a group is joined once, then each time its workers are told names, types and shapes, and
take the tensors in that order as the learner's first process sends them. Each server is in a group of its
own, so that one which dies takes no other with it: its request fails, its group is given up, and what waited
for it goes on. It takes part again with the next weights, since those of before are not kept.

A server answers nobody meanwhile: what it would write by half of its weights ends it.
LoRA's changes are added in. The learner sends one tensor at a time, whole also where its own are sharded.
"""

from __future__ import annotations

import contextlib
import socket
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Protocol

import httpx
import torch

from agents import ranks
from agents.engines.futures import beside
from agents.engines.server import UNKNOWN, Server, each
from agents.engines.web import ServerError
from agents.engines.weights import named_weights, weight_shapes
from agents.policy import Policy

TOLD_SO = 'start it with --weight-transfer-config \'{"backend": "nccl"}\''
PATIENCE = 60.0
"""Seconds that the learner's side of a group may take after the server's is there."""


class Group(Protocol):
    """The learner, rank 0, and one server's workers."""

    device: torch.device

    def send(self, tensor: torch.Tensor) -> None:
        """A RuntimeError where it was given up, or is broken."""

    def destroy(self) -> None:
        """What is under way ends."""


class NCCLGroup:
    """By vLLM's PyNcclCommunicator."""

    def __init__(self, door: socket.socket, size: int, device: torch.device) -> None:
        """Waits for the others of the group, who come to `door`."""
        from vllm.distributed.device_communicators.pynccl import PyNcclCommunicator
        from vllm.distributed.utils import StatelessProcessGroup
        from vllm.utils.nccl import unpinned_nccl_env

        host, port = door.getsockname()
        met = StatelessProcessGroup.create(host, port, 0, size, listen_socket=door)
        # A thread begins on the first GPU, whoever started it; a learner without one takes that too.
        gpu = device.index or 0
        with torch.cuda.device(gpu), unpinned_nccl_env():
            self._group: Any = PyNcclCommunicator(met, device=gpu)
        if self._group.disabled:
            raise ServerError("vLLM finds no NCCL here, or VLLM_DISABLE_PYNCCL is set")
        self.device: torch.device = self._group.device
        self._ended = False

    def send(self, tensor: torch.Tensor) -> None:
        if self._ended:  # its memory is freed, or will be
            raise RuntimeError("the group was given up")
        # vLLM's own choice would be another stream, which it makes the learner's for good.
        self._group.broadcast(tensor, 0, stream=torch.cuda.current_stream(self.device))

    def destroy(self) -> None:
        self._ended = True
        self._group.destroy()


def refuse_without_gpu() -> None:
    try:
        import vllm  # noqa: F401
    except ImportError:
        raise ValueError(
            "engine.transfer=nccl: the learner needs vLLM as well, whose NCCL it takes: pip install "
            '"amft-mm[vllm]"; or engine.transfer=folder'
        ) from None
    if not torch.cuda.is_available():
        raise ValueError(
            "engine.transfer=nccl goes from GPU to GPU, and here is none: engine.transfer=folder"
        )


def gpu_of(device: torch.device) -> torch.device:
    """By its number, which threads need; without one it is this process's own."""
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", torch.cuda.current_device())


class ByNCCL:
    adapter = False

    def __init__(self) -> None:
        refuse_without_gpu()
        self._gpu = torch.device("cpu")
        self._groups: dict[str, tuple[Group, str]] = {}
        """By a server's address, with the version that came through it last."""

    def hand_over(self, policy: Policy, version: str, servers: list[Server]) -> None:
        self._gpu = gpu_of(policy.device)
        shapes = weight_shapes(policy)
        told = {
            "names": list(shapes),
            "dtype_names": [str(policy.dtype).removeprefix("torch.")] * len(shapes),
            "shapes": [list(shape) for shape in shapes.values()],
        }
        ready = each(servers, self._begin) if ranks.is_first() else []
        groups = [self._groups[server.url][0] for server in ready]
        taken = beside(lambda: each(ready, lambda server: self._take(server, told, version)))
        try:
            for _, tensor in named_weights(policy):  # all processes have a part of it
                groups = [group for group in groups if sent(group, tensor.to(policy.dtype))]
            taken.result()
        except BaseException:  # which servers do not learn of: nobody waits for them
            for server in ready:
                self._leave(server)
            raise

    def again(self, server: Server, version: str) -> None:
        raise ServerError(f"{server.url} was started again, and is handed the next weights")

    def _begin(self, server: Server) -> None:
        has = server.has()
        if has != self._groups.get(server.url, (None, ""))[1]:
            self._join(server)
        server.being_replaced()
        server.tell("/pause", {})
        broken_off = has == UNKNOWN
        try:
            server.tell("/start_weight_update", {}, retries=0)
        except ServerError:
            broken_off = True
        if broken_off:  # layers that took a part of their weights would count it for the new ones
            server.tell("/finish_weight_update", {}, retries=0)
            server.tell("/start_weight_update", {}, retries=0)

    def _take(self, server: Server, told: dict[str, Any], version: str) -> None:
        try:
            server.tell("/update_weights", {"update_info": told}, retries=0)
            server.tell("/finish_weight_update", {}, retries=0)
            server.replaced(version)
        except ServerError:
            self._leave(server)
            raise
        self._groups[server.url] = (self._groups[server.url][0], version)

    def _join(self, server: Server) -> None:
        self._leave(server)
        try:
            workers = int(server.look("/get_world_size")["world_size"])
        except (KeyError, TypeError, ValueError) as error:
            raise ServerError(
                f"{server.url} does not say how many workers it has ({error!r})"
            ) from None
        door = opened_to(server.url)
        host, port = door.getsockname()
        about = {"master_address": host, "master_port": port, "rank_offset": 1}
        about |= {"world_size": 1 + workers, "packed": False}
        with contextlib.suppress(ServerError):  # of a learner before this one
            server.tell("/shutdown_weight_transfer_engine", {}, retries=0)

        def invite() -> None:
            try:
                server.tell("/init_weight_transfer_engine", {"init_info": about}, retries=0)
            except ServerError as error:
                raise ServerError(f"{server.url} can not be joined: {TOLD_SO} ({error})") from None

        here = beside(lambda: NCCLGroup(door, 1 + workers, self._gpu))
        there = beside(invite)
        both: list[Future[Any]] = [here, there]
        wait(both, return_when=FIRST_COMPLETED)
        try:
            if here.done():  # where it failed, the server waits in vain
                here.result()
            there.result()
            self._groups[server.url] = here.result(PATIENCE), ""
        except ServerError:
            raise
        except Exception as error:
            why = f"the group with {server.url} can not be joined: {error!r}"
            raise ServerError(why) from None

    def _leave(self, server: Server) -> None:
        group, _ = self._groups.pop(server.url, (None, ""))
        if group:
            group.destroy()


def sent(group: Group, tensor: torch.Tensor) -> bool:
    """Whether; where a group is broken, its server's own request fails, and says why."""
    tensor = tensor.to(group.device).contiguous()
    try:
        group.send(tensor)
    except RuntimeError:
        return False
    return True


def opened_to(url: str) -> socket.socket:
    """Where a server reaches this machine; open from the first, so that nobody else takes its port."""
    address = httpx.URL(url)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards:  # nothing is sent
            towards.connect((address.host, address.port or 80))
            host = towards.getsockname()[0]
        return socket.create_server((host, 0))
    except OSError as error:
        raise ServerError(f"{url} has no address that this machine reaches: {error}") from None
