r"""Which number a text states: one number with its unit or name, and not a calculation that comes to it.

A question may be the very expression that its answer is the value of (23 - 29 - 92 = ?), and algebra finds
the two equal. So where a number is asked for, what is graded is what `stated` gives:

    7   x = 7   7 \text{ cm}^2   \$7   7^\circ   1\frac{1}{2}   2\sqrt{3}   \{7\}      state a number
    3+4   8 = 7   10_2   7!   |-7|   \int_0^7 1 dx   \gcd(7, 14)   3(4)   7^2          do not

A text states a number where it holds one number and all around it is known to be no mathematics.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import gcd

from envs.math_tasks.plain_numbers import as_numbers, tidy

_DECIMAL = r"(?:\d{1,40}(?:,\d{3}){0,13}(?:\.\d{0,40})?|\.\d{1,40})"
_PLAIN = rf"{_DECIMAL}(?:\s+\d+\s*/\s*\d+|\s*/\s*[-+]?\s*{_DECIMAL})?"


def _fraction_or_root(argument: str) -> str:
    root = rf"\\sqrt\s*(?:\[\s*\d+\s*\])?\s*{argument}"
    return rf"(?:\\[cdt]?frac\s*{argument}\s*{argument}|{root})"


_INNER = _fraction_or_root(rf"(?:\{{\s*[-+]?\s*{_PLAIN}\s*\}}|\d)")
_OUTER = _fraction_or_root(rf"(?:\{{\s*[-+]?\s*(?:{_PLAIN}\s*)?(?:{_INNER})?\s*\}}|\d)")
_NUMBER = re.compile(rf"[-+]?\s*(?:{_OUTER}|{_PLAIN}(?:\s*{_OUTER})?)")
_ARGUMENT = re.compile(r"\{\s*[-+]?\s*(\d+)\s*\}|(\d)")
_PARTS = re.compile(_DECIMAL)
_NAME = re.compile(
    r"\s*(?:\\text\s*\{[A-Za-z ]*\}|\\?[^\W\d_]+(?:\s[^\W\d_]+)*)'?(?:_(?:\w|\{\w*\}))?\s*"
)
_TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|normal)?|math(?:rm|bf|it)|mbox|operatorname)\s*\{([^{}]*)\}"
)
_DEGREES = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)")
_POWER = re.compile(r"\s*\^\s*(?:\{\s*-?\d\s*\}|-?\d)")
_POWER_OF_UNIT = re.compile(rf"(?<=[A-Za-z])(?:{_POWER.pattern}|[²³])")
_BETWEEN_UNITS = re.compile(r"(?<=[A-Za-z])\s*(?:\\cdot(?![a-z])|[-/·*])\s*(?=[A-Za-z])")
_MIXED = re.compile(r"\d(?:\s+\d|\s*\\[cdt]?frac)")
_DRESS = re.compile(
    r"\\(?:text|mathrm|mbox)\s*\{[^{}\d]*\}|\\[$ ]|°|\^\s*(?:\{\s*\\circ\s*\}|\\circ)"
)
_AROUND = re.compile(
    r"(?:[A-Za-zµμΩ]|[\s{}()\[\]$%°.,:;'\"€£¥~]|\\[ ,;:!$%{}]"
    r"|\\(?:left|right|q?quad|degree|circ|Omega|mu|pounds|euro|yen)(?![A-Za-z]))*"
)


@dataclass(frozen=True)
class Stated:
    """A number as it is written, and with the unit that it has outside of LaTeX's texts."""

    number: str
    with_unit: str

    @property
    def is_final(self) -> bool:
        """Whether nothing is left to do: no root, and a fraction in lowest terms alone."""
        number = self.number.replace(",", "")
        if "sqrt" in number or not re.search(r"frac|/", number):
            return "sqrt" not in number
        pairs = _ARGUMENT.findall(number.partition("frac")[2])
        parts = [a or b for a, b in pairs] or _PARTS.findall(number)[-2:]
        if len(parts) != 2 or not all(part.isdecimal() for part in parts):
            return False
        above, below = map(int, parts)
        return below > 1 and gcd(above, below) == 1


def stated(text: str) -> Stated | None:
    """The one number of a tidy text, None where it says none, several, or how to come to one.

    Of `x = 7` it is what follows the name; `7 = 7` says the same twice.
    """
    # Spaces are skipped in many places of a number: of two in a row each would be tried in each of them.
    *before, value = re.sub(r"\s+", " ", text).split("=")
    if any(not _NAME.fullmatch(part) and part.strip() != value.strip() for part in before):
        return None
    words = _TEXT.sub(r" \1 ", _DEGREES.sub("", value))
    match = _NUMBER.search(words)
    if match is None:
        return None
    number, before_it = match[0].strip(), words[: match.start()].strip()
    if number[0] in "-+" and before_it and before_it[-1] not in "({[$:":
        return None
    if _MIXED.search(number) and not as_numbers(number):
        return None  # 3 4/1
    for around in (words[: match.start()], words[match.end() :]):
        around = _BETWEEN_UNITS.sub(" ", _POWER_OF_UNIT.sub("", around))
        if not _AROUND.fullmatch(around):
            return None
    return Stated(number, tidy(_DRESS.sub("", _POWER.sub("", value))))
