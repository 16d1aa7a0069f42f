"""Chats from JSON files as demonstrations: `import_chats(FILE)` knows each row's form by its keys.

Forms, one a module: `llava` (conversations of "human" and "gpt", pictures beside them) and `messages`
(roles and contents, as chat endpoints have them). Files are JSON lists or JSON lines. A row that can
not be taken is left out with its number and a reason; nothing is dropped without being told.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.demonstrations import Demonstration
from agents.importers import llava, messages
from agents.importers.pictures import PictureFolder
from agents.importers.rows import BadRow

FORMS = {"conversations": llava.read_row, "messages": messages.read_row}
LARGEST_FILE = 4 * 2**30


@dataclass
class Import:
    """`rows()` gives the demonstrations; afterwards `left_out` names the other rows."""

    source: Path
    pictures: PictureFolder
    left_out: list[tuple[int, str]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def rows(self) -> Iterator[Demonstration]:
        for number, row in enumerate(read_json(self.source)):
            try:
                yield self._row(number, row)
            except BadRow as error:
                self.left_out.append((number, str(error)))
                self.reasons[error.kind] += 1

    def _row(self, number: int, row: Any) -> Demonstration:
        if isinstance(row, ValueError):
            raise BadRow("not JSON", str(row))
        if not isinstance(row, dict):
            raise BadRow("not an object", f"a {type(row).__name__}")
        for key, read in FORMS.items():
            if key in row:
                name = str(row.get("id", f"{self.source.stem}/{number}"))[:200]
                return read(row, name, self.pictures)
        known = " or ".join(map(repr, FORMS))
        raise BadRow("unknown form", f"no {known} among its keys {sorted(row)[:10]}")


def import_chats(source: Path, pictures: Path | None = None) -> Import:
    """`pictures` is the folder that paths are relative to; the file's own folder by default."""
    if not source.is_file():
        raise FileNotFoundError(f"{source} is not there: give a JSON or JSONL file of chats")
    if source.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{source} is larger than {LARGEST_FILE} bytes: divide it")
    return Import(source, PictureFolder(pictures or source.parent))


def read_json(source: Path) -> Iterator[Any]:
    """The rows of a JSON list, or of JSON lines; a line that is no JSON is given as its error."""
    with open(source, encoding="utf-8", errors="replace") as lines:
        start = lines.read(4096).lstrip("\ufeff \t\r\n")
        lines.seek(0)
        if start.startswith("["):
            try:
                yield from json.load(lines)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{source} begins as a JSON list but is none: {error}") from None
            return
        for line in lines:
            if not line.strip():
                continue
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                yield ValueError(str(error)[:200])
