"""New weights to servers through a folder that learner and servers both see, under the same path.

The first process writes them once, and each server reads them. Of LoRA the adapter alone. The weights of
before leave the folder with the next ones, the last ones with the run.
"""

from __future__ import annotations

import contextlib
import shutil
import weakref
from pathlib import Path

from agents import ranks
from agents.engines.server import Server, each
from agents.engines.web import ServerError
from agents.engines.weights import save_adapter, save_weights
from agents.policy import Policy


class ByFolder:
    def __init__(self, folder: Path, run: str, *, adapter_alone: bool = True) -> None:
        """`run`: what the versions of this run begin with."""
        self._folder, self._run, self._adapter_alone = folder.absolute(), run, adapter_alone
        self.adapter = False
        if ranks.is_first():  # which may lie in the machine's memory
            weakref.finalize(self, forget, self._folder, run)

    def hand_over(self, policy: Policy, version: str, servers: list[Server]) -> None:
        self.adapter = self._adapter_alone and hasattr(policy.model, "peft_config")
        save = save_adapter if self.adapter else save_weights
        save(policy, self._folder / version, writes=ranks.is_first())
        if ranks.is_first():
            each(servers, lambda server: self.again(server, version))
            forget(self._folder, self._run, but=version)

    def again(self, server: Server, version: str) -> None:
        before, folder = server.has(), str(self._folder / version)
        server.being_replaced()
        if self.adapter:
            # In place: it may have it already, from a try whose reply was lost.
            load = {"lora_name": version, "lora_path": folder, "load_inplace": True}
            server.tell("/v1/load_lora_adapter", load)
            if before.startswith(self._run) and before != version:
                # It makes room alone, and may be done already.
                with contextlib.suppress(ServerError):
                    server.tell("/v1/unload_lora_adapter", {"lora_name": before})
        else:
            reload = {"method": "reload_weights", "kwargs": {"weights_path": folder}}
            server.tell("/collective_rpc", reload)
        server.replaced(version)


def forget(folder: Path, run: str, but: str = "") -> None:
    """The weights of a run, but for one version of them."""
    for version in folder.glob(f"{run}*"):
        if version.name != but:
            shutil.rmtree(version, ignore_errors=True)
