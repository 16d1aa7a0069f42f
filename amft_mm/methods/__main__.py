"""`python -m amft_mm.methods` lists the methods: what they do, what they need, where they come from."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from amft_mm.methods.presets import demonstrations_of, methods


def main() -> None:
    table = Table("method", "what it does", "demonstrations", "source")
    for name, preset in methods().items():
        table.add_row(name, preset["about"], demonstrations_of(preset), preset["source"])
    terminal = Console().is_terminal
    Console(width=None if terminal else 180).print(table)


if __name__ == "__main__":
    main()
