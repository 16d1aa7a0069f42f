"""Who plays, in every command that has `model=` and `engine=`: the processes, the policy, its engine."""

from __future__ import annotations

import os

import torch
from omegaconf import DictConfig, OmegaConf

from agents.engines import Engine, make_engine
from agents.locate import locate_model
from agents.policy import Policy
from amft_mm.config.settings import options_of
from amft_mm.runs.processes import ProcessGroup


def open_process_group(config: DictConfig) -> ProcessGroup:
    """Comes before the policy: what has to be built is built before processes know of each other,
    since among several processes transformers saves on rank 0 alone."""
    torch.set_num_threads(config.threads or automatic_threads(config.model.name))
    locate_model(config.model.name)
    return ProcessGroup(cpu=config.model.device == "cpu" or not torch.cuda.is_available())


def automatic_threads(model: str) -> int:
    """OMP_NUM_THREADS where it is set; else what the machine has for each of its processes, of which the
    tiny model has no use for more than two."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked):
        return int(asked)
    here = max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    return min(2, here) if model.startswith("tiny") else here


def load_policy(config: DictConfig) -> Policy:
    model = config.model
    policy = Policy.load(
        model.name,
        device=model.device,
        dtype=getattr(torch, model.dtype) if model.dtype else None,
        lora=OmegaConf.to_container(model.lora) if model.lora else None,  # type: ignore[arg-type]
        freeze_vision=model.freeze_vision,
        gradient_checkpointing=model.gradient_checkpointing,
        min_pixels=model.min_pixels,
        max_pixels=model.max_pixels,
        attention=model.get("attention"),
        system=model.get("system"),
    )
    refuse_more_than_it_reads(policy, int(config.limits.max_tokens))
    return policy


def refuse_more_than_it_reads(policy: Policy, max_tokens: int) -> None:
    """Beyond the positions that a model was trained with it writes nonsense, and says nothing."""
    most = getattr(policy.plain_model.config.get_text_config(), "max_position_embeddings", None)
    if most is not None and max_tokens > most:
        raise ValueError(
            f"limits.max_tokens={max_tokens}: this model reads {most} tokens at most. Take "
            f"limits.max_tokens={most} or less; limits.history shows the last turns of longer episodes"
        )


def engine_of(config: DictConfig, policy: Policy) -> Engine:
    return make_engine(config.engine.name, policy, **options_of(config.engine))
