"""LLaVA's form, in which the published SFT data of General Points and V-IRL come.

    {"id": ..., "image": "a.png" | ["a.png", "b.png"],
     "conversations": [{"from": "human", "value": "<image>\\nWhat ...?"}, {"from": "gpt", ...}]}

Each <image> in a human's words stands for the next picture; the marker itself is not kept.
"""

from __future__ import annotations

import re
from typing import Any

from agents.demonstrations import Demonstration
from agents.importers.pictures import PictureFolder
from agents.importers.rows import BadRow, Said, as_demonstration, pictures_beside

MARKER = "<image>"
WHO = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system",
}  # fmt: skip


def read_row(row: dict[str, Any], name: str, pictures: PictureFolder) -> Demonstration:
    entries = row["conversations"]
    if not isinstance(entries, list):
        raise BadRow("conversations is no list", type(entries).__name__)
    waiting = pictures_beside(row, "image", "images")
    said: list[Said] = []
    marked = sum(
        entry.get("value", "").count(MARKER)
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("value"), str)
    )
    if marked not in (0, len(waiting)):
        raise BadRow("pictures and markers differ", f"{len(waiting)} pictures, {marked} {MARKER}")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("value"), str):
            raise BadRow("entry not understood", f"entry {number}: {entry!r:.100}")
        who = WHO.get(str(entry.get("from")))
        if who is None:
            raise BadRow("unknown speaker", f"entry {number} is from {entry.get('from')!r:.50}")
        words = entry["value"]
        count = words.count(MARKER)
        if marked == 0 and who == "user" and waiting:
            count = len(waiting)  # unmarked pictures belong to the first question
        shown = [pictures.open(waiting.pop(0)) for _ in range(count)]
        said.append((who, re.sub(rf"\s*{MARKER}\s*", "\n", words).strip(), shown))
    return as_demonstration(name, said)
