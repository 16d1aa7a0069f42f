"""The form of chat endpoints:

    {"messages": [{"role": "user", "content": "..." | [{"type": "text", "text": ...},
                                                       {"type": "image", "image": "a.png"}]}, ...],
     "images": [...]}

A picture is named in its part ("image", "image_url", "path" or "url"), or taken from "images" in order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.demonstrations import Demonstration
from agents.importers.pictures import PictureFolder
from agents.importers.rows import BadRow, Said, as_demonstration, pictures_beside

ROLES = ("user", "assistant", "system")


def read_row(row: dict[str, Any], name: str, pictures: PictureFolder) -> Demonstration:
    entries = row["messages"]
    if not isinstance(entries, list):
        raise BadRow("messages is no list", type(entries).__name__)
    if row.get("tools"):
        raise BadRow(
            "tools are declared", f"{row['tools']!r:.100}: chats of words and pictures are taken"
        )
    waiting = pictures_beside(row, "images", "image")
    said: list[Said] = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or entry.get("role") not in ROLES:
            raise BadRow("entry not understood", f"entry {number}: {entry!r:.100}")
        if entry.get("tool_calls"):
            raise BadRow("a call of a tool", f"entry {number}: {entry['tool_calls']!r:.100}")
        words, shown = _content(entry.get("content"), number, waiting, pictures)
        said.append((entry["role"], words, shown))
    if waiting:
        raise BadRow(
            "pictures left over", f"{len(waiting)} of `images` are not placed in a message"
        )
    return as_demonstration(name, said)


def _content(
    content: Any, number: int, waiting: list[Any], pictures: PictureFolder
) -> tuple[str, list[np.ndarray]]:
    if isinstance(content, str):
        return content, []
    if not isinstance(content, list):
        raise BadRow("content not understood", f"entry {number}: {content!r:.100}")
    words: list[str] = []
    shown: list[np.ndarray] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            words.append(part["text"])
        elif kind in ("image", "image_url"):
            named = next(
                (part[k] for k in ("image", "image_url", "path", "url") if part.get(k)), None
            )
            if named is None:
                if not waiting:
                    raise BadRow("picture not named", f"entry {number}, and `images` has no more")
                named = waiting.pop(0)
            shown.append(pictures.open(named))
        else:
            raise BadRow("content not understood", f"entry {number}: {part!r:.100}")
    return "\n".join(words), shown
