"""Countdown: make a target from numbers, each used once. The answer is a formula, of which many are right.

Every target is what some derivation in whole numbers comes to, so that each task can be solved. Tasks are
dealt by their index and the seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.derivation import derive, stray, wander
from envs.math_tasks.problems import Countdown, Problem, solved
from envs.searches import searched


@dataclass(frozen=True)
class CountdownItems:
    """The tasks of one kind, in the shape of reasoning-gym's items."""

    seed: int
    size: int
    min_numbers: int
    max_numbers: int
    max_value: int
    min_target: int
    max_target: int

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, index])
        while True:
            count = int(rng.integers(self.min_numbers, self.max_numbers + 1))
            numbers = tuple(rng.integers(1, self.max_value + 1, count).tolist())
            derived = wander(numbers, rng, most=self.max_target)
            if self.min_target <= derived.value <= self.max_target:
                break
        target = int(derived.value)
        listed = ", ".join(map(str, numbers))
        return {
            "question": f"Make {target} from {listed}. Use each number once, with + - * / and "
            "parentheses.",
            "answer": derived.formula(),
            "metadata": {"numbers": numbers, "target": target},
        }


def read_countdown(item: dict[str, Any]) -> Problem:
    facts = item["metadata"]
    task = Countdown(facts["numbers"], facts["target"])
    return Problem(item["question"], item["answer"], countdown=task)


def expert_solution(task: Countdown, *, search: bool = False) -> str:
    """The simplest derivation, a statement a line, and the formula that follows; or the `search` for the
    first one."""
    if search and (gone := searched(task.numbers, task.target)):
        lines, found = gone
        return solved(lines, found.formula())
    derived = derive(task.numbers, task.target)
    assert derived is not None  # it was dealt by a derivation
    return solved(derived.statements(), derived.formula())


def wrong_solution(task: Countdown, rng: np.random.Generator, *, search: bool = False) -> str:
    """True statements that end elsewhere: one derivation, or the search for where it ends."""
    derived = stray(task.numbers, task.target, rng)
    if search and (gone := searched(task.numbers, int(derived.value))):
        lines, found = gone
        return solved(lines, found.formula())
    return solved(derived.statements(), derived.formula())
