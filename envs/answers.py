"""Reads the answer object out of whatever a language model wrote.

`read_answer(text, keys)` finds the last object in the text that holds one of `keys` and returns its
fields under their names in `keys`. It understands JSON and what models make of it: fences, single or
curly quotes, Python literals, bare words, trailing commas, comments, a missing end. It never
raises and looks at a bounded part of the text, so no answer can cost more than a few milliseconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

LONGEST = 20_000
"""Characters examined, counted from the end of the text."""
DEEPEST = 16
MOST_BRACKETS = 30
"""Opening brackets in a text that is tried as JSON as it is; no reader's recursion minds so few."""
_LONGEST_NUMBER = 30
_MOST_STARTS = 40
_MOST_STEPS = 25_000

_CLOSING_QUOTE = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`"}
_LITERALS = {"true": True, "false": False, "null": None, "none": None}
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_GAP = re.compile(r"(\s|//[^\n]*|/\*.{0,300}?\*/|#[^\n]*)*", re.DOTALL)
# What most answers consist of, read in one go: a string without escapes, a whole number.
_PLAIN_STRING = re.compile(r"""(["'])([^"'\\]{0,2000})\1(?=\s*[,:\]}])""")
_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,15}(?=\s*[,\]}])")
_COMMA = re.compile(r"\s*,\s*")
_BARE = re.compile(r"[^,\[\]{}:\n\"]+")
_TUPLE = re.compile(r"\(\s*(['\"]|\w{1,20}\s*,)")  # and not a formula
_IN_STRING = {quote: re.compile(rf"[^\\{quote}]+") for quote in set(_CLOSING_QUOTE.values())}
_NEXT_KEY = re.compile(r"['\"“][\w -]{1,40}['\"”]\s*:")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def _number(word: str) -> int | float | str:
    """A number that is short and finite; any other stays the text that it is."""
    if len(word) > _LONGEST_NUMBER:
        return word
    number = float(word) if re.search(r"[.eE]", word) else int(word)
    return number if abs(number) != float("inf") else word


_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""Without its other half JSON's own reader takes it as it is, and no file or wire can hold it."""
_DECODER = json.JSONDecoder(parse_int=_number, parse_float=_number, parse_constant=str)


class _Unreadable(Exception):
    """What starts here is not an object."""


def read_answer(text: str, keys: Collection[str]) -> dict[str, Any] | None:
    """The fields of the last object that holds any of `keys`; None if there is none."""
    canonical = _canonical(tuple(keys))
    text = whole_characters(text[-LONGEST:])
    fields = _known_fields(_valid_json(text), canonical)
    if fields:
        return fields
    starts = [match.start() for match in re.finditer(r"\{", text)]
    steps = _Steps(_MOST_STEPS)
    end_of_last = -1
    found = None
    # From the front, so that an object within an object is read as a part of the outer one.
    for start in _most_telling(starts):
        if start < end_of_last:
            continue
        try:
            value, end = _Reader(text, steps).read_object(start)
        except _Unreadable:
            continue
        except _OutOfSteps:
            break
        fields = _known_fields(value, canonical)
        if fields:
            found, end_of_last = fields, end
    return found


def _valid_json(text: str) -> dict[str, Any]:
    """The object that the whole text is, if it is valid JSON and not deep: most answers are, and none
    of its texts holds half a character, which the other reader mends."""
    if text.count("{") + text.count("[") > MOST_BRACKETS:
        return {}
    try:
        value = _DECODER.decode(text)
        if _ESCAPED_HALF.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


@lru_cache(maxsize=64)
def _canonical(keys: tuple[str, ...]) -> dict[str, str]:
    return {_plain(key): key for key in keys}


def _most_telling(starts: list[int]) -> list[int]:
    """A bounded choice of places to start at: the first few and the last many."""
    if len(starts) <= _MOST_STARTS:
        return starts
    return starts[:5] + starts[-(_MOST_STARTS - 5) :]


def _known_fields(value: Mapping[str, Any], canonical: Mapping[str, str]) -> dict[str, Any]:
    fields = {}
    for name, field in value.items():
        key = canonical.get(_plain(name))
        if key is not None:
            fields[key] = field
    return fields


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name.strip().lower())


def whole_characters(text: str) -> str:
    """Escaped surrogate pairs as the characters they stand for, and a half, which no tokenizer takes and no
    file, as the sign for what is unreadable."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _OutOfSteps(Exception):
    """The text would take too long to read."""


class _Steps:
    """A budget of work, shared by all readings of one text."""

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left < 0:
            raise _OutOfSteps


class _Reader:
    """A recursive-descent reader of one object. Every character is passed at most a few times."""

    def __init__(self, text: str, steps: _Steps) -> None:
        self._text = text
        self._at = 0
        self._steps = steps

    def read_object(self, start: int) -> tuple[dict[str, Any], int]:
        self._at = start
        return self._object(DEEPEST), self._at

    def _skip_gap(self) -> None:
        char = self._text[self._at : self._at + 1]
        if "/" < char < "\x7f" or char == '"':  # most often there is no gap
            return
        match = _GAP.match(self._text, self._at)
        assert match is not None  # it matches the empty string
        self._steps.spend(1 + match.end() - self._at)
        self._at = match.end()

    def _skip_comma(self) -> None:
        """Passes what usually follows a value; anything else is for the caller to see."""
        match = _COMMA.match(self._text, self._at)
        if match is not None:
            self._steps.spend(match.end() - self._at)
            self._at = match.end()

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _value(self, depth: int) -> Any:
        if depth == 0:
            raise _Unreadable
        self._skip_gap()
        char = self._peek()
        if char == "{":
            return self._object(depth - 1)
        if char == "[" or _TUPLE.match(self._text, self._at):
            return self._list(depth - 1)
        if char in _CLOSING_QUOTE:
            return self._string()
        return self._bare()

    def _object(self, depth: int) -> dict[str, Any]:
        self._at += 1
        value: dict[str, Any] = {}
        while True:
            self._skip_gap()
            char = self._peek()
            if char == "":
                return value  # cut off: what has been said counts
            if char == "}":
                self._at += 1
                return value
            if char == ",":
                self._at += 1
                continue
            name = self._string() if char in _CLOSING_QUOTE else self._bare()
            self._skip_gap()
            if self._peek() in ("", ",", "}"):
                continue  # a name without a value says nothing
            if self._peek() != ":":
                raise _Unreadable
            self._at += 1
            value[str(name)] = self._value(depth)
            self._skip_comma()

    def _list(self, depth: int) -> list[Any]:
        closing = "]" if self._peek() == "[" else ")"
        self._at += 1
        values: list[Any] = []
        while True:
            self._skip_gap()
            char = self._peek()
            if char == "":
                return values
            if char == closing:
                self._at += 1
                return values
            if char == ",":
                self._at += 1
                continue
            values.append(self._value(depth))
            self._skip_comma()

    def _string(self) -> str:
        """A quoted string. A quote inside it that does not end it (Joe's) is part of it."""
        plain = _PLAIN_STRING.match(self._text, self._at)
        if plain is not None:
            self._steps.spend(5 + plain.end() - self._at)
            self._at = plain.end()
            return whole_characters(plain[2])
        closing = _CLOSING_QUOTE[self._peek()]
        self._at += 1
        parts = []
        while self._at < len(self._text):
            self._steps.spend(5)
            run = _IN_STRING[closing].match(self._text, self._at)
            if run is not None:
                parts.append(run[0])
                self._at = run.end()
                continue
            char = self._text[self._at]
            if char == "\\" and self._at + 1 < len(self._text):
                parts.append(self._escape())
                continue
            self._at += 1
            if char == closing and self._ends_here():
                break
            parts.append(char)
        return whole_characters("".join(parts))

    def _ends_here(self) -> bool:
        """Whether what follows a quote can follow a string: structure, the next key, the end."""
        rest = self._text[self._at : self._at + 60].lstrip()
        return rest == "" or rest[0] in ",:]})#/" or _NEXT_KEY.match(rest) is not None

    def _escape(self) -> str:
        char = self._text[self._at + 1]
        self._at += 2
        if char == "u":
            digits = self._text[self._at : self._at + 4]
            if re.fullmatch(r"[0-9a-fA-F]{4}", digits):
                self._at += 4
                return chr(int(digits, 16))
        return _ESCAPES.get(char, char)

    def _bare(self) -> Any:
        """A number, a literal, or a word without quotes, up to the next sign of structure."""
        whole = _PLAIN_NUMBER.match(self._text, self._at)
        if whole is not None:
            self._at = whole.end()
            return int(whole[0])
        match = _BARE.match(self._text, self._at)
        if match is None:
            raise _Unreadable
        self._steps.spend(match.end() - match.start())
        word = match[0].strip()
        self._at = match.end()
        if word.endswith(")") and "(" not in word:  # the end of a tuple
            self._at = match.start() + match[0].index(")")
            word = word[: word.index(")")].strip()
        if not word:
            raise _Unreadable
        if word.lower() in _LITERALS:
            return _LITERALS[word.lower()]
        return _number(word) if _NUMBER.fullmatch(word) else word
