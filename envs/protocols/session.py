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
import math
import secrets
from typing import Any

import gymnasium
from PIL import Image as PILImage

from envs.arguments import make_env
from envs.contract import EndedBy, Image, World
from envs.shown import pictures_of, shown

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
        self._env: gymnasium.Env[Any, Any] | None = None
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
        observation, info = self._env_of(split).reset(seed=chosen)
        self.steps, self.total_reward, self.done, self.success = 0, 0.0, False, False
        return self._told(observation, 0.0, info)

    def answer(self, text: str) -> dict[str, Any]:
        if self._env is None or self.done:
            raise SessionError("the episode has not begun or has ended: reset first.")
        observation, reward, terminated, truncated, info = self._env.step(text)
        if truncated and info["ended_by"] is None:  # by the time limit that it is registered with
            info["ended_by"] = EndedBy.OUT_OF_STEPS
        if not math.isfinite(reward := float(reward)):  # JSON has no word for it
            raise SessionError(f"{self._id}: the reward is no finite number: {reward}")
        self.steps += 1
        self.total_reward += reward
        self.done, self.success = terminated or truncated, bool(info["success"])
        return self._told(observation, reward, info)

    def pictures(self) -> list[PILImage.Image]:
        """Those that were shown last."""
        return list(self._shown)

    def splits(self) -> tuple[str, ...]:
        """Those that these arguments allow; () where the world has none."""
        world = world_in(self._env or self._env_of(None))
        return tuple(split for split in world.splits if self._makes(split))

    def expert(self) -> str:
        """The text that an expert would write now, for tests and demonstrations."""
        if self._env is None:
            raise SessionError("the episode has not begun: reset first.")
        return world_in(self._env).expert()

    def close(self) -> None:
        if self._env is not None:
            self._env.close()
        self._env, self.done = None, True

    def _env_of(self, split: str | None) -> gymnasium.Env[Any, Any]:
        if self._env is None or split != self._split:
            made = make_world(
                self._id, self._arguments | ({} if split is None else {"split": split})
            )
            self.close()
            self._env, self._split = made, split
        return self._env

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


def make_world(world: str, arguments: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    """A world by its id, with the wrappers that it is registered with, such as a time limit; an error in
    words where it can not be made."""
    try:
        made = make_env(world, arguments, disable_env_checker=True)
    except (gymnasium.error.Error, ImportError, OSError, ValueError, TypeError) as error:
        raise SessionError(f"{world} with {arguments}: {error}") from None
    world_in(made)
    return made


def world_in(made: gymnasium.Env[Any, Any]) -> World:
    """The world within its wrappers."""
    if isinstance(found := made.unwrapped, World):
        return found
    raise SessionError(
        f"{made.spec.id if made.spec else found} is no world that takes texts: wrap it by "
        "envs.adapters.DiscreteGame."
    )


def png(image: Image) -> str:
    """A picture as base64 of a PNG."""
    data = io.BytesIO()
    PILImage.fromarray(image).save(data, format="PNG")
    return base64.b64encode(data.getvalue()).decode("ascii")
