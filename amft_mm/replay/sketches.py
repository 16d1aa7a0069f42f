"""What a world would draw of an instance beside its pictures: `Sketches().of(world, options, seed)`.

The names and options are of a file that may be anybody's. So only worlds of this suite are made that have a
sketch, by those of their arguments that decide the instance and name no file; anything else gives {}. One
takes `SECONDS` at the most, making the world included, and after one that took longer there are no more.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import gymnasium
from gymnasium import spaces

from agents.worlds import World
from envs.guard import CallFailed, GuardedEnv
from envs.virl.city_files import CITIES

DECIDING = {
    "amft/GeneralPoints-v0": ("modality", "target", "num_cards", "face_rule", "colors", "split"),
    "amft/VIRL-v0": ("city", "split"),
}
"""The worlds that have a sketch, and the arguments by which a seed is an instance."""
SECONDS = 5.0


class Sketches:
    """Of one source."""

    def __init__(self) -> None:
        self._over = False

    def of(self, world: str, options: str, seed: int) -> Any:
        known = None if self._over else _deciding(world, options)
        if known is None:
            return {}
        drawn = _sketch(world, json.dumps(known, sort_keys=True), seed)
        self._over = drawn is None
        return json.loads(drawn or "{}")


def _deciding(world: str, options: str) -> dict[str, Any] | None:
    """Those of the options; None where the world has no sketch, or is made of files."""
    try:
        given = json.loads(options)
    except (ValueError, RecursionError):
        return None
    if world not in DECIDING or not isinstance(given, dict):
        return None
    if given.get("data") is not None or given.get("city", CITIES[0]) not in CITIES:
        return None
    return {name: given[name] for name in DECIDING[world] if name in given}


@lru_cache(maxsize=4096)
def _sketch(world: str, options: str, seed: int) -> str | None:
    """None where it took too long; nothing where the world does not take these arguments."""
    try:
        return json.dumps(_drawer(world, options).ask("drawn", seed))
    except CallFailed as error:
        return None if ": hang: " in str(error) else "{}"
    except NotImplementedError:
        return "{}"


@lru_cache(maxsize=32)
def _drawer(world: str, options: str) -> GuardedEnv:
    return GuardedEnv(lambda: _Drawer(World(world, json.loads(options))), seconds=SECONDS)


class _Drawer(gymnasium.Env[Any, Any]):
    """Makes its world when it is first asked, so that the guard's time counts for that too."""

    observation_space = action_space = spaces.Discrete(1)

    def __init__(self, world: World) -> None:
        self._world = world
        self._env: gymnasium.Env[Any, Any] | None = None

    def drawn(self, seed: int) -> Any:
        if self._env is None:
            self._env = self._world.make()
        self._env.reset(seed=seed)
        return self._env.unwrapped.sketch()  # type: ignore[attr-defined]
