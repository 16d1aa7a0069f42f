"""What is asked of vLLM and what comes back, wherever it runs: in this process or behind servers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from agents.conversation import Conversation
from agents.engines.base import Request
from agents.policy import Policy


@dataclass(frozen=True)
class Prompt:
    """What is asked of vLLM."""

    ids: list[int]
    """One placeholder a picture."""
    images: list[Any]
    """PIL pictures, in the size in which the model takes them."""
    settings: dict[str, Any]
    """Of vLLM's SamplingParams, the seed among them."""


@dataclass(frozen=True)
class Completion:
    """What came back: the prompt as vLLM read it, and the answer."""

    prompt_ids: list[int] | None
    ids: list[int]
    log_probs: list[float]


Arrived = list[tuple[Request, Completion | str]]
"""What came of a request; of one that failed, the reason in words."""


class Backend(Protocol):
    """vLLM, wherever it runs."""

    def ask(self, request: Request, prompt: Prompt) -> None: ...

    def arrived(self) -> Arrived: ...

    def forget(self, conversation: Conversation) -> None: ...

    def update(self, policy: Policy) -> None: ...

    def rest(self) -> None: ...
