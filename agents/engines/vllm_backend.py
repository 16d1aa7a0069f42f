"""What is asked of vLLM and what comes back, wherever it runs: in this process or behind servers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from agents.policy import Policy


@dataclass(frozen=True)
class Prompt:
    """What is asked of vLLM."""

    ids: list[int]
    """One placeholder a picture."""
    images: list[Any]
    """PIL pictures, in the size in which the model takes them."""
    seed: int


@dataclass(frozen=True)
class Completion:
    """What came back: the prompt as vLLM read it, and the answer."""

    prompt_ids: list[int] | None
    ids: list[int]
    log_probs: list[float]


Arrived = Callable[[int, Completion | str], None]
"""Told the number of a prompt and what came of it; in the caller's own thread."""


class Backend(Protocol):
    """vLLM, wherever it runs. A prompt that failed gives the reason in words."""

    def complete(
        self, prompts: list[Prompt], settings: dict[str, Any], arrived: Arrived
    ) -> None: ...

    def update(self, policy: Policy) -> None: ...
