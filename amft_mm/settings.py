"""What commands read from their configuration, in one way.

An `env` has a `name`, the `id` that gymnasium knows, the `splits` that it is evaluated on, and
keyword arguments of `gymnasium.make`.
"""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.worlds import World


def world_of(env: DictConfig, **changes: Any) -> World:
    """The world of a configuration's `env`; `changes` are to its keyword arguments."""
    options: dict[str, Any] = OmegaConf.to_container(env, resolve=True)  # type: ignore[assignment]
    for key in ("name", "splits"):
        options.pop(key, None)
    return World(str(options.pop("id")), options | changes)
