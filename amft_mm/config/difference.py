"""The words of a command line that make a configuration: what it is besides what the files say.

    words_of("train", config)      ["env=math", "method=grpo", "train.steps=20"]

`configuration("train", words)` then gives `config` again. A group is chosen by the name that its file has; a
part of a method that has another name than there is named before the rest is compared.
"""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from amft_mm.config.choices import config_groups, word_for
from amft_mm.config.command_line import Words, composed, written
from amft_mm.config.composition import NAMED
from amft_mm.runs.dotted import WHERE, flat, sections, without


def words_of(command: str, config: DictConfig) -> list[str]:
    groups = [word for name in config_groups() if (word := word_for(name, config))]
    own = without(flat(config), WHERE)
    files = flat(composed(command, Words.of(groups)))
    names = [
        _word(name, own[name], True)
        for part in NAMED
        if (name := f"method.{part}.name") in own and files.get(name) != own[name]
    ]
    named = without(flat(composed(command, Words.of([*groups, *names]))), WHERE)
    known = files.keys() | named.keys() | sections(named)
    # Null where nothing is set is nothing to say; in the place of a section it is.
    differs = {
        k: v
        for k, v in own.items()
        if (named[k] != v if k in named else v is not None or k in known)
    }
    gone = named.keys() - own.keys() - sections(own)
    return [
        *groups,
        *names,
        *(_word(k, v, k in known) for k, v in differs.items()),
        *(f"~{k}" for k in sorted(gone) if not sections([k]) & own.keys()),
    ]


def _word(key: str, value: Any, known: bool) -> str:
    return f"{'' if known else '+'}{key}={written(value)}"
