"""Who plays, in every command that has `model=` and `engine=`: the processes, the policy, its engine."""

from __future__ import annotations

import os
import warnings

import torch
from omegaconf import DictConfig, OmegaConf

from agents.conversation import ChatModel
from agents.engines import Engine, make_engine
from agents.engines.vllm import where_of
from agents.locate import locate_model
from agents.policy import Policy
from amft_mm.config import threads
from amft_mm.config.loaded import is_of
from amft_mm.config.settings import options_of
from amft_mm.runs.processes import ProcessGroup


def open_process_group(config: DictConfig) -> ProcessGroup:
    """Comes before the policy: what has to be built is built before processes know of each other,
    since among several processes transformers saves on rank 0 alone."""
    if not config.debug:
        quiet_libraries()
    torch.set_num_threads(config.threads or automatic_threads(config.model.name))
    locate_model(config.model.name)
    processes = ProcessGroup(cpu=config.model.device == "cpu" or not torch.cuda.is_available())
    if sharding(config):
        processes.together()
    return processes


def sharding(config: DictConfig) -> bool:
    """Whether this command trains, with weights that are divided among processes."""
    return "train" in config and bool(config.train.shard)


def automatic_threads(model: str) -> int:
    """What the user asks for by OMP_NUM_THREADS; else one for the tiny model, which is no faster by several
    where others compute beside it, and for any other what the machine has for each of its processes."""
    asked = int(threads.ASKED) if threads.ASKED.isdigit() else 0
    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ  # which asks for one by itself
    if asked > 1 or (asked == 1 and not by_torchrun):
        return asked
    if is_of(OmegaConf.create({"name": "tiny"}), model):
        return 1
    return max(1, threads.cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


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
        shard=sharding(config),
        offload=sharding(config) and bool(config.train.offload),
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


def is_served(config: DictConfig) -> bool:
    """Whether the model that plays is an endpoint's, which says words alone."""
    return bool(config.engine.name == "openai")


def player_of(config: DictConfig) -> tuple[ChatModel, Engine]:
    """Who writes the answers: a model of one's own, or words in the place of one that an endpoint has."""
    if is_served(config):
        from agents.engines.openai import words

        return words(), make_engine("openai", None, **options_of(config.engine))
    policy = load_policy(config)
    return policy, engine_of(config, policy)


def player_name(config: DictConfig) -> str:
    return str(config.engine.model if is_served(config) else config.model.name)


def engine_of(config: DictConfig, policy: Policy) -> Engine:
    options = options_of(config.engine)
    if vllm_is_here(config.engine):
        options = room_of(config.limits) | options
    if config.engine.name == "hf" and config.get("train", {}).get("ahead"):
        options["own_weights"] = True  # those of the model change while it plays
    return make_engine(config.engine.name, policy, **options)


def vllm_is_here(engine: DictConfig) -> bool:
    """Whether vLLM runs beside the learner, in its process."""
    if engine.name != "vllm":
        return False
    return where_of(engine.get("where"), engine.get("servers") or ()) == "colocated"


def room_of(limits: DictConfig) -> dict[str, int]:
    """What vLLM has to take, so that it takes whole episodes: a picture in each turn."""
    pictures = min(int(limits.max_turns), int(limits.max_tokens))  # each is a token at least
    return {"max_model_len": int(limits.max_tokens), "max_images": pictures}


def quiet_libraries() -> None:
    """What libraries say of themselves while they load and save is not said between a run's own lines."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)
