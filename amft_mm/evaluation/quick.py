"""Success while a run warms up: small evaluations by the clock, which leave no trace in what is trained.

    quick = QuickEvaluation(config.eval.quick, evaluator, policy, processes)
    if quick.is_due():
        quick.row(step)       {"step": ..., "phase": "quick", "quick/id/success": ..., ...}

The first comes after `minutes`, the next ones so much later that all of them take no more than `share` of the
time. A clock decides when they come, so that nothing of them may reach the training: random states, what is
remembered of pictures and modes of modules are afterwards as they were, and they tell no best checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from omegaconf import DictConfig

from agents.policy import Policy
from amft_mm.evaluation.evaluator import Evaluator
from amft_mm.runs.checkpoints import put_random_states, random_states
from amft_mm.runs.metrics import QUICK
from amft_mm.runs.processes import ProcessGroup


class QuickEvaluation:
    def __init__(
        self, settings: DictConfig, evaluator: Evaluator, policy: Policy, processes: ProcessGroup
    ) -> None:
        self._settings, self._evaluator = settings, evaluator
        self._policy, self._processes = policy, processes
        self._last, self._took = time.monotonic(), 0.0

    def is_due(self) -> bool:
        """All processes agree."""
        (due,) = self._processes.sum(float(self._processes.main and self._is_time()))
        return bool(due)

    def row(self, step: int) -> dict[str, Any]:
        began = time.monotonic()
        with without_a_trace(self._policy):
            found = self._evaluator.quick(self._settings.episodes)
        self._last = time.monotonic()
        self._took = self._last - began
        return {"step": step, "phase": QUICK, **found, "time/quick": self._took}

    def _is_time(self) -> bool:
        minutes = self._settings.minutes
        if minutes is None:
            return False
        waits = self._took * (1 / self._settings.share - 1)
        return time.monotonic() - self._last >= max(60 * minutes, waits)


@contextmanager
def without_a_trace(policy: Policy) -> Iterator[None]:
    """Inside, episodes may be played; outside, everything is as if they had not been."""
    states = random_states()
    learning = [module for module in policy.model.modules() if module.training]
    with ExitStack() as apart:
        if policy.image_features is not None:
            apart.enter_context(policy.image_features.apart())
        try:
            yield
        finally:
            put_random_states(states)
            for module in learning:
                module.training = True
