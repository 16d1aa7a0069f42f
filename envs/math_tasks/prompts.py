"""How the agent is asked and answered. The fixed wording is short: small models read it too."""

from __future__ import annotations

import numpy as np

FIXED = r"End with \boxed{answer}."
VARIED = (
    r"Put your final answer in \boxed{}.",
    r"Give the answer as \boxed{...} at the end.",
    r"Work step by step and finish with \boxed{answer}.",
    r"Finish with the words: The answer is \boxed{...}.",
    'Reply with a JSON object: {"answer": "..."}.',
)
_BEFORE = ("Solve this problem.", "Here is a question.", "")


def task_text(question: str, rng: np.random.Generator | None) -> str:
    """The question and how to answer it; `rng` chooses among wordings, None is the fixed one."""
    if rng is None:
        return f"{question}\n{FIXED}"
    before = _BEFORE[rng.integers(len(_BEFORE))]
    after = VARIED[rng.integers(len(VARIED))]
    return "\n".join(part for part in (before, question, after) if part)


def feedback(answer: str | None, *, right: bool, attempts_left: int) -> str:
    """What is said about an attempt. It never gives the right answer away."""
    if right:
        return "Correct."
    if answer is None:
        said = r"No answer found. Put it in \boxed{}."
    else:
        said = f"Your answer {_quoted(answer)} is not right."
    if attempts_left == 0:
        return f"{said} No attempts left."
    return f"{said} {attempts_left} attempt{'s' if attempts_left > 1 else ''} left."


def _quoted(answer: str, longest: int = 80) -> str:
    words = " ".join("".join(c if c.isprintable() else " " for c in answer[:400]).split())
    return words if len(words) <= longest else words[: longest - 1] + "…"
