"""LLaVA's form, in which the published SFT data of General Points and V-IRL come.

    {"id": ..., "image": "a.png" | ["a.png", "b.png"],
     "conversations": [{"from": "human", "value": "<image>\\nWhat ...?"}, {"from": "gpt", ...}]}

Each <image> in a human's words stands for the next picture; the marker itself is not kept. Where they have
none, the pictures belong to the first question. What others say is kept as it is, <image> included.
"""

from __future__ import annotations

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
    turns = [_turn(number, entry) for number, entry in enumerate(entries)]
    marked = sum(words.count(MARKER) for who, words in turns if who == "user")
    if marked not in (0, len(waiting)):
        raise BadRow("pictures and markers differ", f"{len(waiting)} pictures, {marked} {MARKER}")
    said: list[Said] = []
    for who, words in turns:
        if who != "user":
            said.append((who, words.strip(), []))
            continue
        count = words.count(MARKER) if marked else len(waiting)
        shown = [pictures.open(waiting.pop(0)) for _ in range(count)]
        text = "\n".join(part.strip() for part in words.split(MARKER)).strip()
        said.append((who, text, shown))
    return as_demonstration(name, said)


def _turn(number: int, entry: Any) -> tuple[str, str]:
    """Who says it, and the words."""
    if not isinstance(entry, dict) or not isinstance(entry.get("value"), str):
        raise BadRow("entry not understood", f"entry {number}: {entry!r:.100}")
    who = WHO.get(str(entry.get("from")))
    if who is None:
        raise BadRow("unknown speaker", f"entry {number} is from {entry.get('from')!r:.50}")
    return who, entry["value"]
