"""`python -m amft_mm.methods` lists the methods: what they do, what they need, where they come from.

With `--check`, how each is known to be what its authors mean: source, status, and the identities that its
tests hold.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before what is slow to import
    from amft_mm import commands

    sys.exit(commands.main(["methods", *sys.argv[1:]]))

import argparse
from typing import Any

from rich.console import Console
from rich.table import Table

from amft_mm.methods.presets import demonstrations_of, methods


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="amft_mm.methods", description="Lists the methods.")
    parser.add_argument(
        "--check", action="store_true", help="source, status and tested identities of each"
    )
    table = checked() if parser.parse_args(arguments).check else listed()
    terminal = Console().is_terminal
    Console(width=None if terminal else 180).print(table)


def listed() -> Table:
    table = Table("method", "what it does", "demonstrations", "source")
    for name, preset in methods().items():
        table.add_row(name, preset["about"], demonstrations_of(preset), preset["source"])
    return table


def checked() -> Table:
    table = Table("method", "source", "status", "identities that its tests hold")
    for name, preset in methods().items():
        table.add_row(name, preset["source"], preset["status"], _identities(preset))
    return table


def _identities(preset: dict[str, Any]) -> str:
    return "\n".join(test.removeprefix("test_").replace("_", " ") for test in preset["identities"])
