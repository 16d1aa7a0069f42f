"""vLLM behind running servers: token ids in, token ids out, also with pictures.

Start each with `vllm serve MODEL --enable-scale-out` (its tokens-in-tokens-out route); to train, with
VLLM_SERVER_DEV_MODE=1; to train LoRA, with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 and `--enable-lora
--max-lora-rank 64` too. The routes of that mode ask nobody for a password: loopback or a private network
only. Weights travel through a folder that learner and servers share, of LoRA the adapter alone; or from GPU
to GPU, with `--weight-transfer-config '{"backend": "nccl"}'`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents.conversation import Conversation
from agents.engines.base import Request
from agents.engines.by_folder import ByFolder
from agents.engines.by_nccl import ByNCCL
from agents.engines.futures import Futures
from agents.engines.server import Way
from agents.engines.servers import Servers
from agents.engines.vllm_backend import Arrived, Completion, Prompt
from agents.engines.web import ServerError, checked_retries, client_of, data_url
from agents.policy import Policy
from envs.contract import one_of


class ServedVLLM:
    """Prompts go to the servers in turn; see agents/engines/servers.py for those that die."""

    def __init__(
        self,
        servers: list[str],
        *,
        transfer: str | None = None,
        weights_folder: str | None = None,
        adapter_alone: bool = True,
        at_once: int = 64,
        seconds: float = 600.0,
        retries: int = 4,
        again: float = 10.0,
    ) -> None:
        """
        transfer        folder, or nccl, from GPU to GPU; None is folder
        weights_folder  where new weights are written, seen by the servers under the same path
        adapter_alone   of LoRA, through a folder; false hands over whole models with the changes added in
        at_once         requests that are under way at the same time
        seconds         a request that takes longer is given up
        again           seconds after which a server that was passed over is looked at again
        """
        self._futures: Futures[Completion | str] = Futures(at_once)
        # All servers are told of new weights at once, and take them together.
        client = client_of(seconds, connections=at_once + len(servers))
        self.servers = Servers(
            servers,
            client,
            way_of(transfer, weights_folder, adapter_alone=adapter_alone),
            retries=checked_retries(retries),
            again=again,
        )

    def ask(self, request: Request, prompt: Prompt) -> None:
        self._futures.submit(request, lambda: self._complete(prompt))

    def arrived(self) -> Arrived:
        return self._futures.arrived()

    def forget(self, conversation: Conversation) -> None:
        self._futures.forget(conversation)

    def update(self, policy: Policy) -> None:
        self.servers.hand_over(policy)

    def rest(self) -> None:
        """Their memory is their own."""

    def _complete(self, prompt: Prompt) -> Completion | str:
        body: dict[str, Any] = {
            "token_ids": prompt.ids,
            "sampling_params": prompt.settings,
            "return_token_ids": True,
        }
        if prompt.images:
            body["content_parts"] = [
                {"type": "image_url", "url": data_url(image)} for image in prompt.images
            ]
        try:
            return _completion(self.servers.ask("/inference/v1/generate", body))
        except (ServerError, LookupError, TypeError, ValueError, OverflowError) as error:
            return f"{type(error).__name__}: {error}"


WAYS = ("folder", "nccl")


def way_of(
    transfer: str | None, folder: str | None, *, adapter_alone: bool = True
) -> Callable[[str], Way] | None:
    """Given what a run's versions begin with. None: servers with weights of their own, to be evaluated."""
    if one_of("engine.transfer", transfer or "folder", WAYS) == "nccl":
        if folder:
            raise ValueError(
                f"engine.transfer=nccl writes nothing, and engine.weights_folder={folder} says where: "
                "leave one out"
            )
        return lambda run: ByNCCL()
    if not folder:
        return None
    return lambda run: ByFolder(Path(folder), run, adapter_alone=adapter_alone)


def _completion(reply: dict[str, Any]) -> Completion:
    choice = reply["choices"][0]
    log_probs = [float(token["logprob"]) for token in choice["logprobs"]["content"]]
    ids = list(choice["token_ids"])
    if len(log_probs) != len(ids):
        raise ServerError(f"{len(ids)} ids came with {len(log_probs)} log-probabilities")
    if not all(map(math.isfinite, log_probs)):  # of which nothing can be learnt
        raise ServerError("a log-probability is no finite number")
    return Completion(reply["prompt_token_ids"], ids, log_probs)
