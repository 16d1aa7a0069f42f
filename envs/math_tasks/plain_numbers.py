"""Plain numbers as models write them, read exactly: 12, -3.50, 1,234, 3/4, \\frac{3}{4}, 1 1/2.

What is read here needs no algebra, so almost every answer is graded in microseconds.
"""

from __future__ import annotations

import re
from fractions import Fraction

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d{1,40})"
_DECIMAL = rf"(?:{_DIGITS}(?:\.\d{{0,40}})?|\.\d{{1,40}})"
_FRACTION = rf"\\[dt]?frac\s*\{{\s*({_DIGITS})\s*\}}\s*\{{\s*({_DIGITS})\s*\}}"
_PLAIN = re.compile(rf"([-+]?)\s*({_DECIMAL})(?:\s*/\s*([-+]?)\s*({_DECIMAL}))?")
_LATEX = re.compile(rf"([-+]?)\s*{_FRACTION}")
_MIXED = re.compile(rf"([-+]?)\s*({_DIGITS})(?:\s+({_DIGITS})\s*/\s*({_DIGITS})|\s*{_FRACTION})")
_SHORT_FRACTION = re.compile(r"(\\[dt]?frac)\s*(\d)\s*(\d)")
_PERCENT = re.compile(r"\\?%\Z")
_WRAPPERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("{", "}"))
_SAME = str.maketrans({"−": "-", "–": "-", "＝": "=", "\u00a0": " ", "\u2009": " ", "\u202f": " "})
_SEPARATOR = re.compile(r"(?<=\d)(?:\\,|[\u00a0\u2009\u202f])(?=\d{3}(?!\d))")


def tidy(text: str) -> str:
    """Without what surrounds an answer and is no part of it: dollars, spaces, a final full stop."""
    text = _SEPARATOR.sub("", text.replace(r"\!", "")).replace(r"\,", " ")
    text = _SHORT_FRACTION.sub(r"\1{\2}{\3}", text.replace("{,}", ",")).translate(_SAME).strip()
    if text.endswith(".") and not text.endswith(".."):
        text = text[:-1].strip()
    for opening, closing in _WRAPPERS:
        if len(text) > len(opening + closing) and text.startswith(opening):
            inner = text[len(opening) : -len(closing)]
            if text.endswith(closing) and opening not in inner and closing not in inner:
                return tidy(inner)
    return text


def as_number(text: str) -> Fraction | None:
    """The value of a tidy text that is a plain number and nothing else."""
    mixed = _MIXED.fullmatch(text)
    if mixed:
        return _mixed(*mixed.groups())
    match = _PLAIN.fullmatch(text.removeprefix("$").strip())
    if match:
        sign, above, below_sign, below = match.groups()
    else:
        match = _LATEX.fullmatch(text)
        if match is None:
            return None
        (sign, above, below), below_sign = match.groups(), ""
    value = _fraction(above)
    if below is not None:
        divisor = _fraction(below)
        if divisor == 0:
            return None
        value /= -divisor if below_sign == "-" else divisor
    return -value if sign == "-" else value


def _mixed(sign: str, whole: str, *parts: str | None) -> Fraction | None:
    """A whole number and a fraction below 1."""
    above, below = (_fraction(part) for part in parts if part is not None)
    if above >= below:
        return None
    return (_fraction(whole) + above / below) * (-1 if sign == "-" else 1)


def as_numbers(text: str) -> set[Fraction]:
    """What a tidy text may mean as a plain number: 10% may stand for 10 (percent) and for 1/10."""
    bare = _without_percent(text)
    value = as_number(bare)
    if value is None:
        return set()
    return {value} if bare == text else {value, value / 100}


def equal(one: str, other: str) -> bool | None:
    """Whether two tidy texts are the same plain number; None where either is none."""
    if _PERCENT.search(one) and _PERCENT.search(other):  # then both mean the same by it
        one, other = _without_percent(one), _without_percent(other)
    values, others = as_numbers(one), as_numbers(other)
    return not values.isdisjoint(others) if values and others else None


def _without_percent(text: str) -> str:
    return _PERCENT.sub("", text).rstrip()


def _fraction(digits: str) -> Fraction:
    digits = digits.replace(",", "")
    return Fraction("0" + digits if digits.startswith(".") else digits.rstrip("."))
