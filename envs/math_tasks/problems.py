"""What a math task is, where tasks come from, and which questions belong to which split.

A question's split is decided by its words alone (`zone_of`), so that two questions that read the
same can never be in training and in an evaluation, whatever generator or file they came from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

SPLITS = ("train", "id", "ood_hard")
"""Of generators: questions to learn from, others of the same kind, and harder ones."""
DATA_SPLITS = ("train", "id", "all")
"""Of data sets."""


@dataclass(frozen=True)
class Countdown:
    """A task with many right answers: formulas of all numbers, each once, that make the target."""

    numbers: tuple[int, ...]
    target: int


@dataclass(frozen=True)
class Problem:
    """A question, its right answer, and how an expert would get there ("" if nobody says).

    `exact` answers have one form, as those of generators do: algebra would find a question that is an
    expression equal to its answer.
    """

    question: str
    answer: str
    solution: str = ""
    countdown: Countdown | None = None
    exact: bool = False

    @property
    def zone(self) -> float:
        """Where the question lies in the sharing-out of all questions among the splits."""
        if self.countdown is None:
            return zone_of(self.question)
        return zone_of(f"{self.countdown.target}: {sorted(self.countdown.numbers)}")


class Source(Protocol):
    """`len` problems; `problem(i)` is the same whenever it is asked for."""

    def __len__(self) -> int: ...

    def problem(self, index: int) -> Problem: ...

    def draw(self, rng: np.random.Generator) -> int:
        """The index of a problem of the split."""
        ...


def solved(steps: Iterable[str], answer: str) -> str:
    """A solution: its steps, and the answer in its box."""
    return "\n".join([*steps, rf"The answer is \boxed{{{answer.strip()}}}."])


def zone_of(question: str) -> float:
    """A number from 0 to 1 that is the same for questions with the same words."""
    words = " ".join(question.casefold().split())
    digest = hashlib.blake2b(words.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
