"""What commands read from their configuration, in one way."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.worlds import World


def world_of(env: DictConfig, **changes: Any) -> World:
    """The world of a configuration's `env`: every key but `name` and `id` goes to gymnasium.make."""
    options: dict[str, Any] = OmegaConf.to_container(env, resolve=True)  # type: ignore[assignment]
    options.pop("name", None)
    return World(str(options.pop("id")), options | changes)
