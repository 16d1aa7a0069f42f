"""Countdown's formulas, judged by the grammar of General Points and never run as code."""

from __future__ import annotations

import re
from collections.abc import Sequence

from envs.general_points.formula import DEEPEST, FormulaError, read_formula

_LATEX = {r"\times": "*", r"\cdot": "*", r"\div": "/", r"\left": "", r"\right": ""}
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")


def makes(formula: str, numbers: Sequence[int], target: int) -> bool:
    """Whether a formula uses each number exactly once and equals the target."""
    for latex, sign in _LATEX.items():
        formula = formula.replace(latex, sign)
    for _ in range(DEEPEST):  # from the innermost fraction outwards
        formula, changed = _FRACTION.subn(r"((\1)/(\2))", formula)
        if not changed:
            break
    try:
        read = read_formula(formula)
    except FormulaError:
        return False
    return (
        read.value == target
        and sorted(read.numbers) == sorted(numbers)
        and read.claimed in (None, target)
    )
