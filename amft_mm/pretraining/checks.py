"""What the settings of pretraining may be: each error says what was given and what is allowed.

A run takes hours, so everything that can be told from the settings is told before it begins.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from agents.locate import IN_THE_BOX
from agents.policy import Policy
from agents.tiny_vlm import tiny_config
from amft_mm.pretraining.stages import STAGES, WHOLE
from envs.contract import one_of, whole_number

MOST = 10**7


def stages_of(config: DictConfig) -> list[str]:
    """Those that make the model: all from nothing, the last ones from a model's weights."""
    return list(STAGES if config.start is None else WHOLE)


def chosen_stages(config: DictConfig) -> list[str]:
    """Those that this run is to make, in their order."""
    stages = stages_of(config)
    if config.only is None:
        return stages
    if not isinstance(config.only, ListConfig) or not config.only:
        raise ValueError(
            f"only={config.only}: give a list of stages, as only=[{stages[0]}]; "
            f"there are {', '.join(stages)}"
        )
    given = [one_of("only", name, STAGES) for name in config.only]
    if idle := [name for name in given if name not in stages]:
        raise ValueError(
            f"only=[{', '.join(idle)}]: with start={config.start} there are only {' and '.join(stages)}; "
            "what comes before is in the model's weights"
        )
    return [name for name in stages if name in given]


def check_settings(config: DictConfig) -> None:
    """Raises ValueError where a setting cannot be."""
    if config.start is not None:
        find_start(config.start)
    chosen_stages(config)
    for name in STAGES:
        _check_stage(name, config[name])


def _check_stage(name: str, stage: DictConfig) -> None:
    whole_number(f"{name}.fall", stage.fall, 0, stage.steps)
    parts = list(STAGES[name].parts)
    if not isinstance(stage.batch, DictConfig) or set(stage.batch) != set(parts):
        raise ValueError(
            f"{name}.batch={stage.batch}: say how many of each of {', '.join(parts)}, and of nothing "
            f"else, as {name}.batch.{parts[0]}=8"
        )
    counts = [whole_number(f"{name}.batch.{part}", stage.batch[part], 0, MOST) for part in parts]
    if not any(counts):
        raise ValueError(f"{name}.batch={stage.batch}: at least one of them must be more than 0")


# The model that it goes on from.


def find_start(start: Any) -> None:
    if start in IN_THE_BOX or (
        isinstance(start, str) and (Path(start).expanduser() / "config.json").is_file()
    ):
        return
    raise ValueError(
        f"start={start}: no model there. Give {' or '.join(IN_THE_BOX)} (in the box), a folder with "
        "config.json and weights, as an earlier pretraining has made it, or null to begin from nothing"
    )


def load_start(start: str) -> Policy:
    """Its weights, if it is built as the tiny model is: stages, exam and card are made for that."""
    name = start if start in IN_THE_BOX else str(Path(start).expanduser().resolve())
    policy = Policy.load(name, device="cpu")
    there = _shape(policy.plain_model.config)
    wanted = _shape(tiny_config(policy.chat_format.tokenizer))
    other = [
        f"{key} {there[key]}, not {wanted[key]}" for key in wanted if there[key] != wanted[key]
    ]
    if other:
        raise ValueError(
            f"start={start} is not built as the tiny model is: {'; '.join(other[:3])}. Give tiny, or a "
            "model that python -m amft_mm.pretrain has made"
        )
    return policy


TEXT = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
)
EYE = ("depth", "hidden_size", "intermediate_size", "num_heads", "patch_size", "spatial_merge_size")


def _shape(config: Any) -> dict[str, Any]:
    """What decides which weights there are and how pictures are cut."""
    text, eye = config.get_text_config(), getattr(config, "vision_config", None)
    shape = {"family": config.model_type}
    shape |= {f"text's {key}": getattr(text, key, None) for key in TEXT}
    return shape | {f"eye's {key}": getattr(eye, key, None) for key in EYE}
