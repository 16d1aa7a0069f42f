"""`--help` of a command, from its schema: settings in groups, with value, sentence and what is allowed."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from amft_mm.config.fields import allowed, rules_of, section_of, shown

COLUMN = 34
"""Where sentences begin."""


def help_of(
    schema: type,
    usage: str,
    config: DictConfig,
    groups: Mapping[str, list[str]],
    defaults: Mapping[str, Any],
) -> str:
    """`config` is what is set where nothing else is said; `defaults` are the files that it is from."""
    plain: Any = OmegaConf.to_container(config, resolve=False)
    width = max(80, min(shutil.get_terminal_size((110, 40)).columns, 130))
    lines = [str(schema.__doc__), "", f"    {usage}", "", "Groups: name=file"]
    lines += [
        line
        for name, files in groups.items()
        for line in _row(f"{name}={_chosen(name, plain, defaults)}", ", ".join(files), width)
    ]
    lines += ["", "Settings: name=value"]
    lines += _section(schema, plain, "", width)
    return "\n".join(lines)


def _chosen(group: str, plain: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """By name where a group is a section; else its files set what stands in several."""
    part = plain.get(group)
    return str(part.get("name", "")) if isinstance(part, Mapping) else shown(defaults[group])


def _section(schema: type, given: Any, prefix: str, width: int) -> Iterator[str]:
    known, values = rules_of(schema), given if isinstance(given, Mapping) else {}
    sections = []
    for key, (kind, rule) in known.items():
        within = section_of(kind, rule, values.get(key))
        if within is not None and not (values.get(key) is None and key in values):
            sections.append((key, within, rule))
        elif rule.told and (key in values or not rule.may_miss):
            told = (
                f"{rule.what}: {allowed(kind, rule)}"
                if within is None and kind is not Any
                else rule.what
            )
            yield from _row(f"{prefix}{key}={shown(values.get(key))}", told, width)
    for key in values.keys() - known.keys():
        yield from _row(f"{prefix}{key}={shown(values[key])}", "", width)
    for key, within, rule in sections:
        yield ""
        yield f"{prefix}{key}: {rule.what}"
        parts = values[key].items() if rule.each else [(None, values.get(key))]
        for name, part in parts:
            inside = f"{prefix}{key}." if name is None else f"{prefix}{key}.{name}."
            yield from _section(
                rule.schema(part) if rule.each and rule.schema else within, part, inside, width
            )


def _row(name: str, sentence: str, width: int) -> list[str]:
    told = textwrap.wrap(sentence, width - COLUMN - 2) or [""]
    first = f"  {name:<{COLUMN - 1}} {told[0]}".rstrip()
    if len(name) >= COLUMN:
        first = f"  {name}"
        told = ["", *told]
    return [first, *(f"{'':<{COLUMN + 2}}{line}" for line in told[1:])]
