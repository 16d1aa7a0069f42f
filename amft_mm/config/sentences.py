"""What the libraries that read words and files say of them, in sentences of this suite: `told(error)`."""

from __future__ import annotations

import re

import yaml

SENTENCES = (
    (
        r"Could not delete from config\. The value of '(.+)' is (.*) and not .*\.",
        r"~\1: its value is \2; leave out what is behind the name",
    ),
    (
        r"Could not append to config\. An item is already at '(.+)'\.",
        r"+\1: it is there already; leave out the +",
    ),
    (
        r"Multiple values for (\S+)\. .*",
        r"+\1: one is chosen already; leave out the +",
    ),
    (
        r"Error merging override \+*([^=]+)=(\[.*)",
        r"\1=\2: give settings by their names, as \1={NAME:VALUE}",
    ),
    (r"Error merging override \+*([^=]+)=(\{.*)", r"\1=\2: give a list, as \1=[1,2]"),
)
"""Of Hydra."""
CAUSE_FOLLOWS = "raised while composing config:"


def told(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and (place := error.problem_mark):
        return f"{place.name}, line {place.line + 1}: {error.problem}"
    if isinstance(error, yaml.reader.ReaderError):
        return f"{error.name}, character {error.position}: {error.reason}"
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    said = " ".join(lines[:2]) if lines[0].endswith(CAUSE_FOLLOWS) else lines[0]
    for pattern, sentence in SENTENCES:
        if found := re.fullmatch(pattern, said):
            return found.expand(sentence)
    return said
