"""What a player is shown in one turn, read from any environment's observation and info.

    told = shown(observation, info)
    told.text, told.images      the text, and the pictures that are new
    told.tool                   the name of the tool whose result this is; "" for none
    told.briefing               after a reset: the world's own system prompt and its tools

Pictures are `image`, one of the space's size, or `images`, a list of any number and sizes. Those that are the
ones of before (`info["new_image"]` is false) are not shown again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from envs.image import Image
from envs.tools import Tool


@dataclass(frozen=True)
class Briefing:
    """What a world tells before its first message."""

    system: str = ""
    tools: tuple[Tool, ...] = ()


NO_BRIEFING = Briefing()


@dataclass(frozen=True)
class Shown:
    """See the module's docstring."""

    text: str
    images: tuple[Image, ...] = ()
    tool: str = ""
    briefing: Briefing = NO_BRIEFING


def shown(observation: Mapping[str, Any], info: Mapping[str, Any]) -> Shown:
    """A ValueError where the text, or `system`, `tools` or `tool` in `info`, are not what they should be."""
    if not isinstance(observation, Mapping) or not isinstance(observation.get("text"), str):
        kind = (
            sorted(observation) if isinstance(observation, Mapping) else type(observation).__name__
        )
        raise ValueError(
            f"the observation ({kind!s:.100}) is to be a dict with a `text`, perhaps with `image` or `images`"
        )
    images = pictures_of(observation) if info.get("new_image", True) else ()
    system, tool = info.get("system") or "", info.get("tool") or ""
    if not isinstance(system, str) or not isinstance(tool, str):
        raise ValueError(f"info: system={system!r:.60} and tool={tool!r:.60} are to be texts")
    tools = tuple(map(Tool.of, info.get("tools") or ()))
    declared = json.dumps([each.declared() for each in tools], ensure_ascii=False)
    (system + tool + declared).encode()  # a ValueError of halves of characters, which nobody reads
    return Shown(observation["text"], images, tool, Briefing(system, tools))


def pictures_of(observation: Mapping[str, Any]) -> tuple[Image, ...]:
    """All that an observation holds."""
    image = observation.get("image")
    return tuple(observation.get("images") or ()) if image is None else (image,)
