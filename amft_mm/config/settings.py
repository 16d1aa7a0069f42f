"""What commands read from their configuration, in one way.

An `env` has a `name`, the `id` that gymnasium knows, the `splits` that it is evaluated on, and
keyword arguments of `gymnasium.make`. A mix of them has `parts` by name, and `shares`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.demonstrations import Demonstrations
from agents.worlds import World


def world_of(env: DictConfig, **changes: Any) -> World:
    """The world of a configuration's `env`; `changes` are to its keyword arguments."""
    options: dict[str, Any] = OmegaConf.to_container(env, resolve=True)  # type: ignore[assignment]
    for key in ("name", "splits"):
        options.pop(key, None)
    if not options.get("id"):
        raise ValueError("env.id: give the id of your environment, as env.id=my_file:my/Env-v0")
    return World(str(options.pop("id")), options | changes)


def options_of(group: DictConfig) -> dict[str, Any]:
    """What a group of settings says besides the name of what they are for."""
    return {str(key): value for key, value in group.items() if key != "name"}


@dataclass(frozen=True)
class EnvPart:
    """One of the environments of a run."""

    name: str
    env: DictConfig
    share: float


def parts_of(env: DictConfig) -> list[EnvPart]:
    """The environments of a run; one alone is a mix of one."""
    if "parts" not in env:
        return [EnvPart(str(env.name), env, 1.0)]
    shares = {str(name): float(share) for name, share in env.shares.items() if share}
    unknown = sorted(shares.keys() - env.parts.keys())
    if unknown or not shares or any(share < 0 for share in shares.values()):
        raise ValueError(
            f"env.shares={dict(env.shares)}: give each of {', '.join(env.parts)} a share from 0 up, "
            "and at least one more than 0"
        )
    whole = sum(shares.values())
    return [EnvPart(name, env.parts[name], share / whole) for name, share in shares.items()]


def demonstrations_of(folder: str, part: EnvPart) -> Demonstrations:
    """Those of an environment: in a folder of its name, or in the one folder that there is."""
    own = Path(folder) / part.name
    return Demonstrations(own if own.is_dir() else folder)


def dealt(count: int, shares: list[float], step: int) -> list[int]:
    """`count` things of a step divided by shares, so that over many steps each gets its own."""
    ends = [0.0]
    for share in shares:
        ends.append(ends[-1] + share)
    ends[-1] = 1.0
    # Things are spread evenly on a circle that turns a golden step each time.
    offset = (step * 0.6180339887498949) % 1.0
    places = [(k + offset) / count for k in range(count)]
    return [sum(low <= p < high for p in places) for low, high in pairwise(ends)]
