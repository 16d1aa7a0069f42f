"""Whether two texts are the same but for how they are set: spaces, case, quotes, LaTeX, signs of times.

For answers that have one form. Nothing is computed: -3*x**2 + 15.0 is -3x^{2} + 15, and x(2 + 1) is not 3x.
"""

from __future__ import annotations

import re

_COMMAND = re.compile(r"\\(?:text|mathrm|left|right|cdot|times)(?![A-Za-z])")
_SAME = str.maketrans(dict.fromkeys("*×·{}\\$\"'`", " "))
_PIECE = re.compile(r"(\d+)(?:\.(\d+))?|\S")


def same_form(one: str, other: str) -> bool:
    """Whether they consist of the same numbers, letters and signs."""
    return _pieces(one) == _pieces(other)


def _pieces(text: str) -> list[str]:
    plain = _COMMAND.sub(" ", text.replace("**", "^")).translate(_SAME).casefold()
    return [_piece(match) for match in _PIECE.finditer(plain)]


def _piece(match: re.Match[str]) -> str:
    whole, decimals = match.groups()
    if whole is None:
        return match[0]
    decimals = (decimals or "").rstrip("0")
    return f"{whole}.{decimals}" if decimals else str(whole)
