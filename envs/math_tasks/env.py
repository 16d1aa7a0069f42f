"""`amft/Math-v0`: a question with one right answer, from a generator or a data set.

| verdict        | reward | when                                                             |
| -------------- | ------ | ---------------------------------------------------------------- |
| `correct`      | 1.0    | the final answer is right                                        |
| `wrong_answer` | 0.0    | there is a final answer, and it is not shown to be right in time |
| `no_answer`    | -0.1   | no final answer can be found in the text                         |

Splits of generators: `train` and `id` are disjoint sets of questions of one kind, `ood_hard` has
harder ones. Splits of data sets: `train` and `id` are disjoint, `all` is everything.
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from envs.contract import (
    EndedBy,
    Outcome,
    Scene,
    World,
    no_unknown_options,
    one_of,
    whole_number,
)
from envs.math_tasks import prompts
from envs.math_tasks.countdown import expert_solution, wrong_solution
from envs.math_tasks.data import (
    DEFAULT_COLUMNS,
    HUB,
    PRESETS,
    SUFFIXES,
    Columns,
    DataSource,
    data_source,
)
from envs.math_tasks.grading import final_answer, is_right, is_wordy
from envs.math_tasks.problems import DATA_SPLITS, SPLITS, Problem, Source, solved
from envs.math_tasks.procedural import RECIPES, procedural_source


class MathVerdict(StrEnum):
    """What one attempt came to."""

    CORRECT = "correct"
    WRONG_ANSWER = "wrong_answer"
    NO_ANSWER = "no_answer"


REWARDS = {
    MathVerdict.CORRECT: 1.0,
    MathVerdict.WRONG_ANSWER: 0.0,
    MathVerdict.NO_ANSWER: -0.1,
}


class MathEnv(World):
    """See the module's docstring; the arguments are those of `gymnasium.make`."""

    verdicts = MathVerdict

    def __init__(
        self,
        *,
        source: str | Path = "chain_sum",
        split: str = "train",
        attempts: int = 1,
        preset: str | None = None,
        question: str | None = None,
        answer: str | None = None,
        solution: str | None = None,
        prompts: str = "fixed",
        thought: str = "steps",
        render_mode: str | None = None,
    ) -> None:
        """
        source      "chain_sum", "countdown", "gsm_symbolic", another generator of reasoning-gym, or
                    several joined by "+"; a file or folder of json, jsonl, csv, parquet; or
                    "hf:owner/name", a data set of the hub
        split       generators: "train", "id", "ood_hard"; data sets: "train", "id", "all"
        attempts    answers allowed to each question
        preset      data sets: the columns of "openr1_math_46k", "gsm8k", "math_500" or "aime" files
        question, answer, solution
                    data sets: names of columns, instead of a preset's or "question", "answer",
                    "solution"
        prompts     "fixed" wording, or "varied" by the seed
        thought     the expert writes the "steps" of the solution before the answer, or "none"; with
                    "search", where an answer has to be found, all ways in order until one is right
        """
        super().__init__(render_mode=render_mode)
        self._attempts = whole_number("attempts", attempts, 1, 1000)
        self._varied = one_of("prompts", prompts, ("fixed", "varied")) == "varied"
        self._thought = one_of("thought", thought, ("none", "steps", "search"))
        named = {"preset": preset, "question": question, "answer": answer, "solution": solution}
        opened = _open_sources(str(source), split, _columns(**named), named)
        self._names, self._sources = list(opened), list(opened.values())
        self._problem = Problem("", "")
        self._origin: tuple[int, int] = (0, 0)
        self._attempts_left = 0

    def begin(self, rng: np.random.Generator, options: dict[str, Any]) -> Scene:
        no_unknown_options(options, ("index",))
        which = int(rng.integers(len(self._sources))) if len(self._sources) > 1 else 0
        source = self._sources[which]
        if "index" in options:
            index = whole_number("reset option 'index'", options["index"], 0, len(source) - 1)
        else:
            index = source.draw(rng)
        self._problem, self._origin = source.problem(index), (which, index)
        self._attempts_left = self._attempts
        return Scene(prompts.task_text(self._problem.question, rng if self._varied else None))

    def respond(self, text: str) -> Outcome:
        formula = self._problem.countdown is not None
        answer = final_answer(text, wordy=is_wordy(self._problem.answer), formula=formula)
        right = answer is not None and is_right(answer, self._problem)
        self._attempts_left -= 1
        if answer is None:
            verdict = MathVerdict.NO_ANSWER
        else:
            verdict = MathVerdict.CORRECT if right else MathVerdict.WRONG_ANSWER
        said = prompts.feedback(answer, right=right, attempts_left=self._attempts_left)
        ended_by = None
        if right:
            ended_by = EndedBy.SUCCESS
        elif self._attempts_left == 0:
            ended_by = EndedBy.OUT_OF_ATTEMPTS
        return Outcome(verdict, REWARDS[verdict], Scene(said), said, ended_by)

    def expert(self) -> str:
        """The solution, ending with the right answer in a box."""
        task, solution = self._problem.countdown, self._problem.solution
        if task is not None:
            return self._told(expert_solution(task, search=self._thought == "search"))
        answer = final_answer(solution) if r"\boxed" in solution else None
        if answer is not None and is_right(answer, self._problem):
            return self._told(solution)
        return self._told(f"{solution}\n{solved([], self._problem.answer)}".lstrip())

    def mistake(self, rng: np.random.Generator) -> str:
        """The solution with a number beside the right one in its last box; for countdown, steps that are
        true and lead elsewhere, or a search for something else."""
        task = self._problem.countdown
        if task is not None:
            return self._told(wrong_solution(task, rng, search=self._thought == "search"))
        right = self._problem.answer
        wrong = "0"
        if re.fullmatch(r"-?\d{1,15}", right):
            wrong = str(int(right) + int(rng.choice([-3, -2, -1, 1, 2, 3])))
        elif is_right(wrong, self._problem):
            wrong = "1"
        solution, box, rest = self.expert().rpartition(r"\boxed{")
        return f"{solution}{box}{wrong}{rest[len(right) :] if rest.startswith(right) else '}'}"

    def _told(self, solution: str) -> str:
        """The solution as an expert tells it: whole, or its last answer alone."""
        if self._thought != "none":
            return solution
        answer = final_answer(solution, wordy=is_wordy(self._problem.answer))
        return solved([], answer or self._problem.answer)

    @property
    def splits(self) -> tuple[str, ...]:
        of_data = any(isinstance(source, DataSource) for source in self._sources)
        return DATA_SPLITS if of_data else SPLITS

    def facts(self) -> dict[str, Any]:
        which, index = self._origin
        return {
            "question": self._problem.question,
            "answer": self._problem.answer,
            "source": self._names[which],
            "index": index,
        }


def _columns(
    *, preset: str | None, question: str | None, answer: str | None, solution: str | None
) -> Columns:
    chosen = DEFAULT_COLUMNS
    if preset is not None:
        chosen = PRESETS[one_of("preset", preset, tuple(PRESETS))]
    return Columns(
        chosen.question if question is None else str(question),
        chosen.answer if answer is None else str(answer),
        chosen.solution if solution is None else str(solution),
        solution_required=solution is not None,
    )


def _open_sources(
    source: str, split: str, columns: Columns, named: dict[str, str | None]
) -> dict[str, Source]:
    """The sources by their names."""
    if source.startswith(HUB) or _is_path(source):
        one_of("split", split, DATA_SPLITS)
        return {source: data_source(source, split, columns)}
    one_of("split", split, SPLITS)
    for name, value in named.items():
        if value is not None:
            raise ValueError(
                f"{name}={value!r} names a column of a data set, but source={source!r} is not one: "
                f"leave it out, or give a file or folder as source."
            )
    names = [name.strip() for name in source.split("+")]
    return {name: procedural_source(name, split) for name in names}


def _is_path(source: str) -> bool:
    if not source.strip() or source in RECIPES:
        return False
    return (
        Path(source).suffix.lower() in SUFFIXES
        or any(mark in source for mark in "/\\")
        or Path(source).exists()
    )
