"""What the final answer of a text is, and whether it is right.

`final_answer` looks, in this order, for the last \\boxed{...}, an "answer" field, <answer> tags,
"#### ...", the words "answer is ...", and the last number, line or formula. `is_right` compares
plain numbers and words exactly, formulas of countdown by a grammar, answers of one form by that form, and
leaves all else to math-verify, in a worker with a time limit. Where a number is asked for, a calculation that
comes to it is not right: it may be the question itself.
"""

from __future__ import annotations

import re
from typing import Any

from envs.answers import read_answer
from envs.general_points.formula import last_formula
from envs.math_tasks import verifier
from envs.math_tasks.forms import same_form
from envs.math_tasks.formulas import makes
from envs.math_tasks.plain_numbers import as_numbers, equal, tidy
from envs.math_tasks.problems import Problem, solved
from envs.math_tasks.stated import stated

LONGEST = 20_000
"""Characters examined, counted from the end of the text."""
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*")
_OPENED = re.compile("<answer>", re.IGNORECASE)
_CLOSED = re.compile("</answer>", re.IGNORECASE)
_HASHES = re.compile(r"####[ \t]*([^\n]{1,300})")
_SAID = re.compile(r"\banswer\**(?:[ \t]+is[ \t]*:?|[ \t]*[:=])[ \t]*([^\n]{1,300})", re.IGNORECASE)
_BOLD = re.compile(r"\*\*(?=\S)([^*]{1,300})(?<=\S)\*\*(?!\w)")
_END_OF_SENTENCE = re.compile(r"(?<=[^\s.])\.(?:\s|$)")
_NUMBER = re.compile(r"(?<![\w.])[-−+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:\s*/\s*\d+)?")
_WORDS = re.compile(r"[^\W\d_]{2,}(?:[ '-][^\W\d_]+)*")


def final_answer(text: str, *, wordy: bool = False, formula: bool = False) -> str | None:
    """The answer that a text comes to, None if there is none.

    `wordy` questions have words for answers: where nothing else marks it, the last line is it. Where a
    `formula` is asked for it is the last one.
    """
    text = text[-LONGEST:]
    for find in (_boxed, _field, _tagged, _after_hashes, _said):
        answer = find(text)
        if answer is not None and answer.strip():
            return answer.strip()
    if formula:
        return last_formula(text)
    if wordy:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else None
    numbers = _NUMBER.findall(text)
    return numbers[-1].rstrip(",") if numbers else None


def can_be_told(answer: str) -> bool:
    """Whether a text that ends with this answer in a box gives it: it is not too long, and closes what it
    opens. Nobody could be right with another."""
    told = final_answer(solved([], answer))
    return told == answer.strip() and len(told) <= verifier.LONGEST and tidy(told) != ""


def is_right(answer: str, problem: Problem) -> bool:
    """Whether a final answer is right. Any string may be asked about."""
    if len(answer) > verifier.LONGEST:
        return False
    answer = tidy(answer)
    if problem.countdown is not None:
        return makes(answer, problem.countdown.numbers, problem.countdown.target)
    reference = tidy(problem.answer)
    if not answer:
        return False
    if _squeezed(answer) == _squeezed(reference):
        return True
    if problem.exact and same_form(answer, reference):
        return True
    asked = stated(reference)
    if asked is not None and as_numbers(asked.with_unit):
        said = stated(answer)
        if said is None or (problem.exact and not said.is_final):
            return False
        return _same_number(said.with_unit, asked.with_unit)
    if problem.exact:
        return False
    if is_wordy(reference) and not re.search(r"[\\${}]", answer):
        return answer.casefold() == reference.casefold()
    return verifier.agree(reference, answer)


def _same_number(answer: str, reference: str) -> bool:
    same = equal(answer, reference)
    # A rounded decimal of a fraction is a matter for math-verify, and so are units.
    if same or (same is False and "." not in answer + reference):
        return same
    return verifier.agree(reference, answer)


def is_wordy(answer: str) -> bool:
    """Whether an answer is words, which algebra would take for a product of letters."""
    return _WORDS.fullmatch(tidy(answer)) is not None


def _squeezed(text: str) -> str:
    """Without spaces, but for those between digits: 1 2 is not 12, and 2 1/3 not 21/3."""
    return re.sub(r"(?<!\d) | (?!\d)", "", " ".join(text.split()))


def _boxed(text: str) -> str | None:
    """What the last box holds. One that is never closed holds all that follows."""
    starts = list(_BOXED.finditer(text))
    if not starts:
        return None
    start = starts[-1].end()
    if text[start : start + 1] != "{":
        word = re.match(r"\S{1,100}", text[start:])
        return word[0] if word else None
    depth = 0
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[start + 1 : at]
    return text[start + 1 :]


def _field(text: str) -> str | None:
    fields = read_answer(text, ("answer", "final answer")) or {}
    return _as_text(fields.get("answer", fields.get("final answer")))


def _as_text(value: Any) -> str | None:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    return None


def _tagged(text: str) -> str | None:
    """What follows the last opening tag, up to a closing one; the text is read once, whatever its tags."""
    _, *opened = _OPENED.split(text)
    answer = _CLOSED.split(opened[-1], maxsplit=1)[0] if opened else ""
    return answer if len(answer) <= verifier.LONGEST else None


def _after_hashes(text: str) -> str | None:
    found = _HASHES.findall(text)
    return found[-1] if found else None


def _said(text: str) -> str | None:
    found = _SAID.findall(text)
    if not found:
        return None
    plain = _BOLD.sub(r"\1", found[-1]).strip(" \t*")  # of **Answer: 12** the end alone is here
    return _END_OF_SENTENCE.split(plain, maxsplit=1)[0].rstrip(" \t*")
