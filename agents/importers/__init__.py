"""Chats from JSON files as demonstrations: `import_chats(FILE)` knows each row's form by its keys.

Forms, one a module: `llava` (conversations of "human" and "gpt", pictures beside them) and `messages`
(roles and contents, as chat endpoints have them). Files are JSON lists or JSON lines, in UTF-8. A row that
can not be taken is left out with its number and a reason; nothing is dropped without being told.
"""

from __future__ import annotations

import json
import re
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
_UNDECODED = re.compile("[\udc80-\udcff]")
"""A byte that is no UTF-8, as errors="surrogateescape" reads it."""


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
        if isinstance(row, BadRow):
            raise row
        if not isinstance(row, dict):
            raise BadRow("not an object", f"a {type(row).__name__}")
        for key, read in FORMS.items():
            if key in row:
                name = str(row.get("id", f"{self.source.stem}/{number}"))[:200]
                self.pictures.next_row()
                return read(row, name, self.pictures)
        known = " or ".join(map(repr, FORMS))
        raise BadRow("unknown form", f"no {known} among its keys {sorted(row)[:10]}")


def import_chats(source: Path, pictures: Path | None = None) -> Import:
    """`pictures` is the folder that paths are relative to; the file's own folder by default."""
    if not source.is_file():
        raise FileNotFoundError(
            f"{source} is no file that is there: give a JSON or JSONL file of chats"
        )
    if source.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{source} is larger than {LARGEST_FILE} bytes: divide it")
    return Import(source, PictureFolder(pictures or source.parent))


def read_json(source: Path) -> Iterator[Any]:
    """The rows of a JSON list, or of JSON lines; one that cannot be read is given as its BadRow."""
    with open(source, encoding="utf-8-sig", errors="surrogateescape") as lines:
        start = lines.read(4096).lstrip(" \t\r\n")
        lines.seek(0)
        if start.startswith("["):
            yield from _list_rows(source, lines.read())
            return
        yield from (_line_row(line) for line in lines if line.strip())


def _list_rows(source: Path, text: str) -> list[Any]:
    try:
        rows: list[Any] = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source} begins as a JSON list but is none: {error}") from None
    if not _UNDECODED.search(text):
        return rows
    return [_undecoded(json.dumps(row, ensure_ascii=False)) or row for row in rows]


def _line_row(line: str) -> Any:
    try:
        return _undecoded(line) or json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadRow("not JSON", str(error))


def _undecoded(text: str) -> BadRow | None:
    """Tells the first byte that is no UTF-8: read as anything else, it would be learnt as said."""
    found = _UNDECODED.search(text)
    if found is None:
        return None
    byte, before = ord(found[0]) - 0xDC00, text[max(0, found.start() - 30) : found.start()]
    return BadRow("not UTF-8", f"byte 0x{byte:02x} after {before!r}: save the file as UTF-8")
