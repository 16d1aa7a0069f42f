"""vLLM behind running servers: token ids in, token ids out, also with pictures.

Start each with `vllm serve MODEL --enable-scale-out` (its tokens-in-tokens-out route) and, for new
weights after each step, VLLM_SERVER_DEV_MODE=1. The routes of that mode ask nobody for a password:
loopback or a private network only. Weights travel through a folder that learner and servers share.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import httpx

from agents.engines.vllm_backend import Arrived, Completion, Prompt
from agents.engines.web import ServerError, data_url, post
from agents.policy import Policy


class ServedVLLM:
    """Prompts go to the servers in turn; one that does not answer is passed over for the next."""

    def __init__(
        self,
        servers: list[str],
        *,
        weights_folder: str | None = None,
        at_once: int = 64,
        seconds: float = 600.0,
        retries: int = 4,
    ) -> None:
        """
        weights_folder  where new weights are written, seen by the servers under the same path
        at_once         requests that are under way at the same time
        seconds         a request that takes longer is given up
        """
        self._servers = [server.rstrip("/") for server in servers]
        self._folder = Path(weights_folder) if weights_folder else None
        self._at_once, self._retries = at_once, retries
        limits = httpx.Limits(max_connections=at_once)
        self._client = httpx.Client(timeout=httpx.Timeout(seconds, connect=10.0), limits=limits)
        self._next = itertools.count()

    def complete(self, prompts: list[Prompt], settings: dict[str, Any], arrived: Arrived) -> None:
        with ThreadPoolExecutor(self._at_once) as pool:
            asked = {pool.submit(self._ask, p, settings): i for i, p in enumerate(prompts)}
            for done in as_completed(asked):
                arrived(asked[done], done.result())

    def update(self, policy: Policy) -> None:
        from agents.engines.weights import save_weights

        if self._folder is None:
            raise ValueError(
                "engine=vllm with servers needs engine.weights_folder=FOLDER, a folder that learner "
                "and servers both see, to hand over new weights"
            )
        save_weights(policy, self._folder)
        reload = {"method": "reload_weights", "kwargs": {"weights_path": str(self._folder)}}
        for server in self._servers:
            self._post(f"{server}/collective_rpc", reload)
            for cache in ("prefix", "mm", "encoder"):
                self._post(f"{server}/reset_{cache}_cache", {})

    def _ask(self, prompt: Prompt, settings: dict[str, Any]) -> Completion | str:
        body: dict[str, Any] = {
            "token_ids": prompt.ids,
            "sampling_params": {**settings, "seed": prompt.seed},
            "return_token_ids": True,
        }
        if prompt.images:
            body["content_parts"] = [
                {"type": "image_url", "url": data_url(image)} for image in prompt.images
            ]
        first = next(self._next)
        reasons = []
        for turn in range(len(self._servers)):
            server = self._servers[(first + turn) % len(self._servers)]
            try:
                reply = self._post(f"{server}/inference/v1/generate", body)
                return _completion(reply)
            except (ServerError, KeyError, TypeError, IndexError) as error:
                reasons.append(f"{type(error).__name__}: {error}")
        return "; ".join(reasons)

    def _post(self, url: str, body: dict[str, Any]) -> Any:
        return post(self._client, url, body, retries=self._retries)


def _completion(reply: dict[str, Any]) -> Completion:
    choice = reply["choices"][0]
    log_probs = [token["logprob"] for token in choice["logprobs"]["content"]]
    ids = list(choice["token_ids"])
    if len(log_probs) != len(ids):
        raise ServerError(f"{len(ids)} ids came with {len(log_probs)} log-probabilities")
    return Completion(reply["prompt_token_ids"], ids, log_probs)
