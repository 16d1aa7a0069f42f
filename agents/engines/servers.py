"""Servers whose weights are known, so that one which dies or is started again can do no harm.

    servers.hand_over(policy)       all that answer take the learner's weights, under a new version
    servers.ask(path, body)         the reply of one of those that have them, in turn

vLLM (from 0.32 on) tells with every answer by which version of the weights each of its tokens was sampled.
The learner says the version when it has handed over new ones, and a server that was started again knows none.
One that does not answer, breaks off, or answers by other weights is passed over, unlike one that refuses a
prompt; after a while it is looked at again, is handed the current weights if it lives, and takes part again.
Before anything was handed over servers have their own weights, which nobody checks: they are only evaluated.

Of several processes the first alone writes weights and speaks of them to servers; the others wait.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import threading
import time
import uuid
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from agents import ranks
from agents.engines.web import Refused, ServerError, get, post
from agents.engines.weights import save_adapter, save_weights
from agents.policy import Policy

AGAIN = 10.0
"""Seconds after which a server that was passed over is looked at again."""
CACHES = ("prefix", "mm", "encoder")
SAY, TELLS = "/update_weight_version", "/weight_info"
UNKNOWN = "being replaced"


@dataclass
class Server:
    url: str
    up: bool = True
    looked_at: float = 0.0
    why: str = ""
    """It is passed over."""
    looks_in_vain: int = 0
    """Which found it down: those who waited for one need no other."""


class Servers:
    """See the module's docstring."""

    def __init__(
        self,
        urls: list[str],
        client: httpx.Client,
        folder: Path | None,
        *,
        adapter_alone: bool = True,
        retries: int = 4,
        again: float = AGAIN,
    ) -> None:
        """`folder`: where weights are written, seen by the servers under the same path."""
        self._servers = [Server(url.rstrip("/")) for url in urls]
        self._client, self._folder, self._adapter_alone = client, folder, adapter_alone
        self._retries, self._again = retries if len(urls) == 1 else 0, again
        self._next, self._updates = itertools.count(), itertools.count(1)
        self._run = ranks.from_first(uuid.uuid4().hex[:8])  # two runs have no version in common
        self._version, self._adapter = "", False
        self._rejoining = threading.Lock()
        if folder is not None and ranks.is_first():  # which may lie in the machine's memory
            weakref.finalize(self, forget, folder.absolute(), self._run)

    @property
    def up(self) -> list[str]:
        return [server.url for server in self._servers if server.up]

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        if self._adapter:
            body = {**body, "model": self._version}
        refused: Refused | None = None
        for server in self._in_turn():
            try:
                reply = self._post(server, path, body)
                check_finished(reply)
                if self._version:
                    check_versions(reply, self._version)
                return reply
            except Refused as error:  # which others may take
                refused = error
            except ServerError as error:
                self._pass_over(server, error)
        raise refused or ServerError("; ".join(server.why for server in self._servers))

    def hand_over(self, policy: Policy) -> None:
        """All processes come here, each with nothing asked that is not answered."""
        if self._folder is None:
            raise ValueError(
                "engine=vllm with servers needs engine.weights_folder=FOLDER, a folder that learner "
                "and servers both see, to hand over new weights"
            )
        ranks.wait()  # another process may be waiting for its answers still
        # A thread that nobody waits for may be bringing one up by older weights.
        with self._rejoining:
            self._adapter = self._adapter_alone and hasattr(policy.model, "peft_config")
            self._version = f"{self._run}-{next(self._updates)}"
            save = save_adapter if self._adapter else save_weights
            save(policy, self._folder / self._version, writes=ranks.is_first())
            if ranks.is_first():
                with ThreadPoolExecutor(len(self._servers)) as pool:
                    list(pool.map(self._bring_up, self._servers))
                forget(self._folder, self._run, but=self._version)
        for mine, theirs in zip(self._servers, ranks.from_first(self._servers), strict=True):
            mine.up, mine.why, mine.looked_at = theirs.up, theirs.why, time.monotonic()
        if not self.up:
            raise ServerError("; ".join(server.why for server in self._servers))

    def _in_turn(self) -> Iterator[Server]:
        """Those that are up, each time another first; then those that can be brought up."""
        first, count = next(self._next), len(self._servers)
        order = [self._servers[(first + k) % count] for k in range(count)]
        now = time.monotonic()
        for server in order:
            if not server.up and now - server.looked_at > self._again:
                self._rejoin(server)
        yield from (server for server in order if server.up)
        if not self.up:
            for server in order:
                self._rejoin(server)
                if server.up:
                    yield server

    def _rejoin(self, server: Server) -> None:
        before = server.looks_in_vain
        with self._rejoining:  # of those who ask at the same time, one does it
            if not server.up and server.looks_in_vain == before:
                self._bring_up(server)

    def _bring_up(self, server: Server) -> None:
        """Has a server take the current weights where it has others, and notes whether it is up."""
        server.looked_at = time.monotonic()
        try:
            if not self._version:
                get(self._client, f"{server.url}/health")
            elif (has := self._version_of(server)) != self._version:
                if not ranks.is_first():
                    raise ServerError(f"{server.url} has not taken the current weights yet")
                self._load(server, has)
        except ServerError as error:
            server.looks_in_vain += 1
            self._pass_over(server, error)
        else:
            server.up, server.why = True, ""

    def _version_of(self, server: Server) -> str:
        try:
            return str(get(self._client, f"{server.url}{TELLS}")["weight_version"])
        except (ServerError, KeyError, TypeError) as error:
            raise ServerError(
                f"{server.url} does not say which weights it has; it must be vLLM from 0.32 on, with "
                f"VLLM_SERVER_DEV_MODE=1 ({error})"
            ) from None

    def _load(self, server: Server, before: str) -> None:
        assert self._folder is not None
        folder = str(self._folder.absolute() / self._version)
        self._post(server, SAY, {"new_version": UNKNOWN})
        if self._adapter:
            adapter = {"lora_name": self._version, "lora_path": folder}
            self._post(server, "/v1/load_lora_adapter", adapter)
            if before.startswith(self._run):
                self._post(server, "/v1/unload_lora_adapter", {"lora_name": before})
        else:
            reload = {"method": "reload_weights", "kwargs": {"weights_path": folder}}
            self._post(server, "/collective_rpc", reload)
        for cache in CACHES:
            self._post(server, f"/reset_{cache}_cache", {})
        self._post(server, SAY, {"new_version": self._version})

    def _pass_over(self, server: Server, error: Exception) -> None:
        server.up, server.why, server.looked_at = False, str(error), time.monotonic()

    def _post(self, server: Server, path: str, body: dict[str, Any]) -> Any:
        return post(self._client, f"{server.url}{path}", body, retries=self._retries)


def forget(folder: Path, run: str, but: str = "") -> None:
    """The weights of a run, but for one version of them."""
    for version in folder.glob(f"{run}-*"):
        if version.name != but:
            shutil.rmtree(version, ignore_errors=True)


def check_finished(reply: Any) -> None:
    """A server that is told to end gives what it has of an answer, as if that were all."""
    with contextlib.suppress(KeyError, TypeError):  # what it lacks is told where it is read
        if "abort" in [choice["finish_reason"] for choice in reply["choices"]]:
            raise ServerError("a reply was broken off, as by a server that is told to end")


def check_versions(reply: Any, version: str) -> None:
    """Of every token of every answer."""
    try:
        spans = [span for choice in reply["choices"] for span in choice["weight_versions"]]
        told = {str(span["version"]) for span in spans}
    except (KeyError, TypeError):
        raise ServerError("a reply does not say which weights gave it") from None
    if told != {version}:
        raise ServerError(f"a reply is by the weights {sorted(told)}, and not by {version!r}")
