"""What runs inside vLLM's worker: takes the learner's weights as they are, without a file.

vLLM loads this class by its name and mixes it into its worker. It only helps where the worker lives
in the learner's own process; others are given a folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_pending: Iterable[tuple[str, Any]] = ()


def hand_over(weights: Iterable[tuple[str, Any]]) -> None:
    """The weights that the next `take_weights` loads."""
    global _pending
    _pending = weights


class TakesWeights:
    """Mixed into vLLM's worker."""

    def take_weights(self) -> None:
        self.reload_weights(weights_iterator=iter(_pending))  # type: ignore[attr-defined]
