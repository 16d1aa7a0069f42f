"""A world as plain data: one player's episodes, by texts, base64 pictures and task numbers.

    session = Session("amft/GeneralPoints-v0", {"modality": "text"})
    shown = session.reset(split="id", index=3)      # {"text": ..., "images": [], "done": False, ...}
    shown = session.answer('{"formula": "1+2"}')

`images` are the pictures that are new, `image` the one of them where there is one. `system` and `tools`, with
a reset, are the world's own, `tool` says whose result is shown.

Task `index` of a split is the instance of the reset's seed `index`: the same for everybody, always.
"""

from __future__ import annotations

import base64
import io
import secrets
from typing import Any

import gymnasium
from PIL import Image as PILImage

from envs.contract import Image, World
from envs.shown import pictures_of, shown
from envs.tools import Tool

MOST_TASKS = 1000
"""So many instances of a split are listed; there are more."""


class SessionError(ValueError):
    """What a player asked for can not be done; the message says why."""


class Session:
    """One player's world. It is made when first needed, and anew for another split; a reset that names none
    is of the session's own arguments."""

    def __init__(self, world: str, arguments: dict[str, Any] | None = None) -> None:
        self._id = world
        self._arguments = dict(arguments or {})
        self._world: World | None = None
        self._split: str | None = None
        self._shown: list[PILImage.Image] = []
        self.steps = 0
        self.total_reward = 0.0
        self.done = True
        self.success = False

    def reset(
        self, *, seed: int | None = None, split: str | None = None, index: int | None = None
    ) -> dict[str, Any]:
        """A new episode, of a task's number or of any seed."""
        if seed is not None and index is not None:
            raise SessionError(f"seed={seed} and index={index}: give one of them.")
        chosen = seed if index is None else index
        if chosen is None:
            chosen = secrets.randbelow(2**31)
        if isinstance(chosen, bool) or not isinstance(chosen, int) or not 0 <= chosen < 2**63:
            raise SessionError(f"seed={chosen!r:.40} is not a whole number from 0.")
        world = self._world_of(split)
        observation, info = world.reset(seed=chosen)
        self.steps, self.total_reward, self.done, self.success = 0, 0.0, False, False
        return self._told(observation, 0.0, info)

    def answer(self, text: str) -> dict[str, Any]:
        if self._world is None or self.done:
            raise SessionError("the episode has not begun or has ended: reset first.")
        observation, reward, terminated, truncated, info = self._world.step(text)
        self.steps += 1
        self.total_reward += reward
        self.done, self.success = terminated or truncated, bool(info["success"])
        return self._told(observation, reward, info)

    def pictures(self) -> list[PILImage.Image]:
        """Those that were shown last."""
        return list(self._shown)

    def tools(self) -> tuple[Tool, ...]:
        """What the world declares; () where it has none."""
        return tuple(self._any_world().tools)

    def splits(self) -> tuple[str, ...]:
        """Those that these arguments allow; () where the world has none."""
        return tuple(split for split in self._any_world().splits if self._makes(split))

    def expert(self) -> str:
        """The text that an expert would write now, for tests and demonstrations."""
        if self._world is None:
            raise SessionError("the episode has not begun: reset first.")
        return self._world.expert()

    def close(self) -> None:
        if self._world is not None:
            self._world.close()
        self._world, self.done = None, True

    def _any_world(self) -> World:
        return self._world or self._world_of(None)

    def _world_of(self, split: str | None) -> World:
        if self._world is None or split != self._split:
            made = make_world(
                self._id, self._arguments | ({} if split is None else {"split": split})
            )
            self.close()
            self._world, self._split = made, split
        return self._world

    def _makes(self, split: str) -> bool:
        try:
            make_world(self._id, self._arguments | {"split": split}).close()
        except SessionError:
            return False
        return True

    def _told(self, observation: Any, reward: float, info: dict[str, Any]) -> dict[str, Any]:
        """Pictures come where they are new."""
        told = shown(observation, info)
        if told.images or not pictures_of(observation):
            self._shown = [PILImage.fromarray(image) for image in told.images]
        images = [png(image) for image in told.images]
        return {
            "text": told.text,
            "image": images[0] if len(images) == 1 else None,
            "images": images,
            "tool": told.tool,
            "system": told.briefing.system,
            "tools": [tool.declared() for tool in told.briefing.tools],
            "verdict": None if info["verdict"] is None else str(info["verdict"]),
            "feedback": info["feedback"],
            "success": bool(info["success"]),
            "ended_by": None if info["ended_by"] is None else str(info["ended_by"]),
            "reward": float(reward),
            "done": self.done,
        }


def make_world(world: str, arguments: dict[str, Any]) -> World:
    """A world by its id; an error in words where it can not be made."""
    try:
        made = gymnasium.make(world, **arguments).unwrapped
    except (gymnasium.error.Error, ImportError, OSError, ValueError, TypeError) as error:
        raise SessionError(f"{world} with {arguments}: {error}") from None
    if not isinstance(made, World):
        raise SessionError(
            f"{world} is no world that takes texts: wrap it by envs.adapters.DiscreteGame."
        )
    return made


def png(image: Image) -> str:
    """A picture as base64 of a PNG."""
    data = io.BytesIO()
    PILImage.fromarray(image).save(data, format="PNG")
    return base64.b64encode(data.getvalue()).decode("ascii")
