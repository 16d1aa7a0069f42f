"""Settings by their dotted names, and which of them say nothing of what a run makes.

flat({"train": {"steps": 5}})                       {"train.steps": 5}
without({"train.steps": 5, "out": "here"}, WHERE)   {"train.steps": 5}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import OmegaConf

WHERE = (
    *("out", "resume", "threads", "debug", "wandb", "tensorboard", "trackio"),
    *("push_to_hub", "hub_private", "checkpoint", "record"),
)
"""What says where a run is made and how it is looked at: who makes it again, or reads it, needs none."""
MAY_DIFFER = (
    *WHERE,
    *("eval", "demos.folder", "play.slots", "play.workers", "play.kind", "play.seconds"),
    *("play.failing", "play.failing_steps", "train.nonfinite", "train.shard", "train.offload"),
    *("train.micro_batch_tokens", "model.gradient_checkpointing", "engine.servers"),
    *("engine.weights_folder", "engine.memory", "engine.sleep", "engine.seconds", "engine.retries"),
)
"""What a run that goes on may be given otherwise, since its weights come out the same, but for rounding. Not
WHERE alone: a run that is made again wants the same evaluations and demonstrations, and the memory that it
took. Demonstrations may be in another folder only where the one of before is not there any more."""
MAY_GROW = ("train.steps",)
"""What says how far a run goes: what was made stays as it is."""


def plain(part: Any) -> Any:
    return OmegaConf.to_container(part, resolve=True) if OmegaConf.is_config(part) else part


def flat(settings: Any) -> dict[str, Any]:
    """An empty section within others is a value: that nothing is there."""
    found: dict[str, Any] = {}

    def flatten(part: Mapping[Any, Any], above: str) -> None:
        for key, value in part.items():
            if isinstance(value, Mapping) and value:
                flatten(value, f"{above}{key}.")
            else:
                found[f"{above}{key}"] = value

    flatten(plain(settings), "")
    return found


def without(settings: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """But for those of these names and what is below them."""
    above = tuple(f"{name}." for name in names)
    return {name: value for name, value in settings.items() if not f"{name}.".startswith(above)}


def sections(names: Iterable[str]) -> set[str]:
    """Those that settings are in."""
    return {name[:place] for name in names for place, sign in enumerate(name) if sign == "."}
