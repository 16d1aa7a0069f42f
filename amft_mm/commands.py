"""`amft-mm COMMAND`, which `python -m amft_mm COMMAND` and `python -m amft_mm.COMMAND` are too.

Nothing that is slow to import is imported before it is needed: help takes a moment, and mistakes in the
settings are told before a model or torch is loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from amft_mm import __version__
from amft_mm.config.threads import one_where_none_is_asked


@dataclass(frozen=True)
class Command:
    module: str
    what: str
    usage: str
    function: str = "main"
    """Called with the configuration, or with the words where there is none."""
    configured: bool = False
    needs_words: bool = False
    """Whether it shows its help where nothing is said, instead of beginning an hour of work."""


COMMANDS = {
    "train": Command(
        "amft_mm.train",
        "trains an agent",
        "amft-mm train env=virl|general_points|math|... [name=value ...]",
        "train",
        configured=True,
    ),
    "evaluate": Command(
        "amft_mm.evaluate",
        "evaluates a run, or any model, on every split",
        "amft-mm evaluate run=RUN | model=NAME env=ENV [name=value ...]",
        "evaluate",
        configured=True,
        needs_words=True,
    ),
    "demos": Command(
        "amft_mm.demos",
        "writes demonstrations",
        "amft-mm demos env=virl|general_points|math|... n=512 [name=value ...]",
        "demos",
        configured=True,
        needs_words=True,
    ),
    "compare": Command(
        "amft_mm.compare.__main__",
        "compares methods",
        "amft-mm compare envs=[math] methods=[sft,amft] [name=value ...]",
        "compare",
        configured=True,
        needs_words=True,
    ),
    "replay": Command("amft_mm.replay.__main__", "shows episodes as a page", ""),
    "watch": Command("amft_mm.watch", "shows a run in the terminal", ""),
    "serve": Command("envs.serve", "serves an environment to others' trainers", ""),
    "play": Command("envs.play", "plays an environment by hand", ""),
    "methods": Command("amft_mm.methods.__main__", "lists the methods", ""),
    "pretrain": Command(
        "amft_mm.pretrain",
        "remakes the tiny model",
        "amft-mm pretrain [name=value ...]",
        "pretrain",
        configured=True,
    ),
}
MISTAKES = (ValueError, OSError, RuntimeError, ImportError, SyntaxError)
"""What users can put right, in a file of theirs too; told without a traceback, but for `debug=true`."""


def main(words: Sequence[str] | None = None) -> int:
    one_where_none_is_asked()
    from envs.printed import reader_may_leave

    name, *rest = list(sys.argv[1:] if words is None else words) or ["--help"]
    with reader_may_leave():
        if name in ("--help", "-h", "help"):
            print(overview())
        elif name == "--version":
            print(f"amft-mm {__version__}")
        elif name in COMMANDS:
            run(name, rest)
        else:
            raise SystemExit(
                f"amft-mm {name}: there is no such command. There are: {', '.join(COMMANDS)}."
            )
    return 0


def overview() -> str:
    rows = [f"  {name:<10} {command.what}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "amft-mm COMMAND [words]: trains and compares vision-language agents in text and picture worlds",
            "",
            *rows,
            "",
            "amft-mm COMMAND --help says what each takes; amft-mm --version which suite this is.",
        ]
    )


def run(name: str, words: Sequence[str]) -> None:
    """One command; what its user can put right ends it by a sentence."""
    try:
        if COMMANDS[name].configured:
            _configured(name, list(words))
        else:
            if code := _called(name, list(words)):
                raise SystemExit(code)
    except BrokenPipeError:
        raise  # no mistake of the user's: see `main`
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        raise SystemExit(130) from None
    except MISTAKES as error:
        if _shows_traceback(words):
            raise
        raise SystemExit(f"{name}: {told(error)}") from None


def told(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _shows_traceback(words: Sequence[str]) -> bool:
    from amft_mm.config.fields import is_true

    said = (word.lstrip("+").partition("=") for word in words)
    return any(name == "debug" and is_true(value) for name, _, value in said)


def _called(name: str, words: list[str]) -> Any:
    function: Callable[..., Any] = getattr(
        import_module(COMMANDS[name].module), COMMANDS[name].function
    )
    return function(words)


def _configured(name: str, words: list[str]) -> None:
    from omegaconf import OmegaConf

    from amft_mm.config.command_line import (
        Words,
        composed,
        config_groups,
        configuration,
        defaults_of,
    )

    command = COMMANDS[name]
    if {"--help", "-h"} & {*words} or (command.needs_words and not words):
        from amft_mm.config.help import help_of
        from amft_mm.config.schema import SCHEMAS

        said = Words.of([word for word in words if word not in ("--help", "-h")])
        groups = config_groups(name, said.folder)
        print(
            help_of(SCHEMAS[name], command.usage, composed(name, said), groups, defaults_of(name))
        )
        return
    shows = "--cfg" in words or any(word.startswith("--cfg=") for word in words)
    config = configuration(name, [w for w in words if not w.startswith("--cfg") and w != "job"])
    if shows:
        print(OmegaConf.to_yaml(config), end="")
        return
    function = getattr(import_module(command.module), command.function)
    function(config)
