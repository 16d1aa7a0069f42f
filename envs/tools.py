"""Tools that a world offers, and how an agent calls them.

    sides = {"drawer": {"type": "string", "enum": ["left", "right"]}}
    LOOK = Tool("look", "Shows a drawer.", {"type": "object", "properties": sides, "required": ["drawer"]})
    write_call("look", drawer="left")     # what an expert writes
    read_call(text, [LOOK])               # a Call, or a BadCall that says what is wrong with it

A call is an answer's end, in the form that most models are taught; any words may stand before it:

    <tool_call>
    {"name": "look", "arguments": {"drawer": "left"}}
    </tool_call>

It is read strictly: one call, JSON, a known name, arguments as the tool's schema has them. Text of any kind
is read in bounded time and never raises.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

BEGIN, END = "<tool_call>", "</tool_call>"
LONGEST_CALL = 20_000
"""Characters."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


def _nothing() -> dict[str, Any]:
    return {"type": "object", "properties": {}}


@dataclass(frozen=True)
class Tool:
    """What a world declares: a name, a description, and the JSON schema of the arguments, an object."""

    name: str
    description: str
    parameters: dict[str, Any] = field(default_factory=_nothing)
    heeds_patterns: bool = field(default=True, compare=False)
    """Whether calls are held against the schema's patterns."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ValueError(f"a tool's name is letters, digits, _ and -; got {self.name!r:.100}")
        if not isinstance(self.description, str):
            raise ValueError(f"tool {self.name}: the description is no text")
        if not isinstance(self.parameters, dict) or self.parameters.get("type") != "object":
            raise ValueError(
                f'tool {self.name}: its parameters are a JSON schema with "type": "object"; '
                f"got {self.parameters!r:.200}"
            )
        try:
            said = json.dumps(self.parameters)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"tool {self.name}: its parameters are no JSON ({error})") from None
        if wrong := _wrong_with_schema(said):
            raise ValueError(f"tool {self.name}: its parameters are no JSON schema ({wrong})")

    def declared(self) -> dict[str, Any]:
        """As chat templates and endpoints want it."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }
        return {"type": "function", "function": function}

    @classmethod
    def of(cls, declared: Any) -> Tool:
        """From `declared()`, or from the inner part of it."""
        if isinstance(declared, Tool):
            return declared
        try:
            function = declared.get("function", declared)
            return cls(
                function["name"],
                function.get("description", ""),
                function.get("parameters") or _nothing(),
            )
        except (AttributeError, KeyError, TypeError):
            raise ValueError(
                f"a tool is declared by name, description and parameters; got {declared!r:.200}"
            ) from None

    @classmethod
    def of_others(cls, declared: Any) -> Tool:
        """From a file or a server. Patterns of others are not run: one that goes back and forth over a few
        letters takes for ever, and nothing could end it."""
        return replace(cls.of(declared), heeds_patterns=False)


class CallFault(StrEnum):
    """What may be wrong with a call. A world's verdicts may hold the same values: Verdict(bad.fault)."""

    NO_CALL = "no_call"
    SEVERAL_CALLS = "several_calls"
    UNREADABLE_CALL = "unreadable_call"
    UNKNOWN_TOOL = "unknown_tool"
    WRONG_ARGUMENTS = "wrong_arguments"


@dataclass(frozen=True)
class Call:
    """A tool that is called as its schema wants it."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class BadCall:
    """What is wrong, as a kind and in words for the agent."""

    fault: CallFault
    message: str


def write_call(name: str, /, **arguments: Any) -> str:
    """The text of a call."""
    said = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"{BEGIN}\n{said}\n{END}"


def read_call(text: str, tools: Sequence[Tool]) -> Call | BadCall:
    """The call that a text ends with."""
    try:
        return _read(text, tools)
    except RecursionError:  # of JSON, of its repr, or of a schema's check
        return BadCall(CallFault.UNREADABLE_CALL, "The call is nested too deep.")


def _read(text: str, tools: Sequence[Tool]) -> Call | BadCall:
    count = text.count(BEGIN)
    if count == 0:
        return BadCall(CallFault.NO_CALL, f"Call a tool: {', '.join(t.name for t in tools)}.")
    if count > 1:
        return BadCall(CallFault.SEVERAL_CALLS, "Call one tool at a time.")
    inner, end, rest = text.partition(BEGIN)[2].partition(END)
    if not end or rest.strip() or len(inner) > LONGEST_CALL:
        return BadCall(CallFault.UNREADABLE_CALL, f"A call ends with {END}, and nothing after it.")
    try:
        said = json.loads(
            inner, object_pairs_hook=_once_each, parse_constant=_no_constant, parse_float=_finite
        )
        json.dumps(said, ensure_ascii=False).encode("utf-8")  # half a character can be escaped
    except ValueError:
        return BadCall(CallFault.UNREADABLE_CALL, "The call is no valid JSON.")
    if not isinstance(said, dict) or said.keys() != {"name", "arguments"}:
        message = 'A call is {"name": ..., "arguments": {...}}.'
        return BadCall(CallFault.UNREADABLE_CALL, message)
    tool = next((tool for tool in tools if tool.name == said["name"]), None)
    if tool is None:
        known = ", ".join(t.name for t in tools)
        message = f"There is no tool {said['name']!r:.60}, only {known}."
        return BadCall(CallFault.UNKNOWN_TOOL, message)
    schema = tool.parameters if tool.heeds_patterns else _without_patterns(tool.parameters)
    wrong = _wrong(said["arguments"], schema)
    if wrong:
        return BadCall(CallFault.WRONG_ARGUMENTS, f"{tool.name}: {wrong}.")
    return Call(tool.name, said["arguments"])


def in_words(tools: Sequence[Tool]) -> str:
    """Tools and how to call them as plain text, for models whose template has no place for them."""
    declared = "\n".join(json.dumps(tool.declared()["function"]) for tool in tools)
    form = '{"name": NAME, "arguments": {...}}'
    return f"Tools:\n{declared}\nCall one by ending your answer with\n{BEGIN}\n{form}\n{END}"


def _wrong(arguments: Any, schema: dict[str, Any]) -> str:
    """What a schema does not allow, in a few words; an argument that it does not name is one such thing."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match
    from referencing import Registry

    strict = {"additionalProperties": False, **schema}
    here: Any = Registry()  # without it, what is not there is fetched
    try:
        error = best_match(Draft202012Validator(strict, registry=here).iter_errors(arguments))
    except (OverflowError, ValueError):  # of a number that is too large to be compared
        return "a number is too large"
    if error is None:
        return ""
    where = ".".join(map(str, error.path))
    return f"{where + ': ' if where else ''}{error.message:.200}"


@lru_cache(maxsize=256)
def _wrong_with_schema(text: str) -> str:
    """What is wrong with a schema, which would otherwise raise in the middle of an episode."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry
    from referencing.exceptions import NoSuchResource, Unresolvable
    from referencing.jsonschema import DRAFT202012

    schema = json.loads(text)
    try:
        Draft202012Validator.check_schema(schema)
        whole = DRAFT202012.create_resource(schema)
        resolver = Registry().with_resource("", whole).resolver("")
        for word, value in _references(schema):
            if word == "$id" and value == schema.get("$id"):
                continue  # the whole's own name
            if word != "$ref":
                return f"{word} is not taken, a $ref within it is"
            resolver.lookup(value)
    except SchemaError as error:
        return f"{error.json_path}: {error.message:.200}"
    except (Unresolvable, NoSuchResource) as error:
        return f"a $ref leads nowhere within it: {error!s:.200}"
    except RecursionError:
        return "it is nested too deep"
    return ""


def _references(schema: Any) -> Iterator[tuple[str, str]]:
    """What leads elsewhere, or says where a part is, by its word."""
    parts = schema.values() if isinstance(schema, dict) else schema
    if isinstance(schema, dict):
        for word in ("$ref", "$dynamicRef", "$id", "$anchor", "$dynamicAnchor"):
            if isinstance(schema.get(word), str):
                yield word, schema[word]
    for part in parts:
        if isinstance(part, dict | list):
            yield from _references(part)


_NAMED = ("properties", "$defs", "definitions", "dependentSchemas")
"""Words of a schema whose keys are names."""
_VALUES = ("enum", "const", "default", "examples")
"""And that are followed by values."""


def _without_patterns(schema: Any) -> Any:
    """What a name would have to be like is left open then."""
    if isinstance(schema, list):
        return [_without_patterns(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {}
    for word, part in schema.items():
        if word in _VALUES:
            found[word] = part
        elif word in _NAMED and isinstance(part, dict):
            found[word] = {name: _without_patterns(own) for name, own in part.items()}
        elif word not in ("pattern", "patternProperties"):
            found[word] = _without_patterns(part)
    if "patternProperties" in schema:
        found["additionalProperties"] = True
    return found


def _finite(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise ValueError(f"{word} is no number of finite size")
    return number


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
