"""A group of the learner and a server's workers over gloo: in the place of NCCL's where there is no GPU."""

import time
from datetime import timedelta

import torch
from torch.distributed import BroadcastOptions, ProcessGroupGloo, TCPStore

PATIENCE = timedelta(seconds=60)
ALIVE = []
"""All that were made. The end of one waits for its threads, of which what is under way may last; and which a
process that is forked later has not, so that it would wait for ever when it collects garbage."""


class GlooGroup:
    device = torch.device("cpu")

    def __init__(self, store, size, rank):
        self._group, self._ended = ProcessGroupGloo(store, rank, size, PATIENCE), False
        ALIVE.append((self._group, store))

    @classmethod
    def joined(cls, host, port, size, rank):
        """The server's side."""
        return cls(TCPStore(host, port, size, False, timeout=PATIENCE), size, rank)

    def broadcast(self, tensor, src):
        options = BroadcastOptions()
        options.rootRank = src
        work = self._group.broadcast([tensor], options)
        while not work.is_completed():
            if self._ended:
                raise RuntimeError("the group was given up")
            time.sleep(0.0001)
        work.wait()

    def send(self, tensor):
        self.broadcast(tensor, 0)

    def destroy(self):
        self._ended = True

    def received(self, told):
        """(name, tensor) of what a server was told to take, as they come."""
        columns = (told["names"], told["dtype_names"], told["shapes"])
        for name, dtype, shape in zip(*columns, strict=True):
            tensor = torch.empty(shape, dtype=getattr(torch, dtype))
            self.broadcast(tensor, 0)
            yield name, tensor


def opened(door, size, device):
    """The learner's side, made as NCCLGroup is."""
    assert device == GlooGroup.device
    host, port = door.getsockname()
    at = {"master_listen_fd": door.detach(), "use_libuv": False}
    return GlooGroup(TCPStore(host, port, size, True, timeout=PATIENCE, **at), size, 0)


def in_the_place_of_nccl(monkeypatch):
    """As from GPU to GPU, where there is none."""
    monkeypatch.setattr("agents.engines.by_nccl.refuse_without_gpu", lambda: None)
    monkeypatch.setattr("agents.engines.by_nccl.NCCLGroup", opened)
