"""A model's parts by its name: weights, configuration, processor, and the adapter that it is or gets.

    folder, adapter = base_of(locate_model(name))   a LoRA adapter's folder names the model below it
    model = build(folder, config_of(folder), dtype, attention)
    model = load_adapter(model, adapter)            or add_lora(model, {"r": 16}) for a new one

`Policy.load` (agents/policy.py) puts them together. What cannot be loaded is refused with what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoProcessor

from agents import anatomy
from agents.anatomy import ModelError
from agents.locate import IN_THE_BOX, locate_model
from agents.pictures import PictureReader, ProcessorReader, Reader


def build(
    folder: str, config: Any, dtype: torch.dtype, attention: str | None, *, empty: bool = False
) -> Any:
    """The transformers model; `empty`, by its configuration alone."""
    auto = anatomy.auto_class(config)
    settings = {"dtype": dtype, "attn_implementation": attention}
    if empty:
        return auto.from_config(config, **settings)
    with _read(folder):
        return auto.from_pretrained(folder, **settings)


@contextmanager
def _read(folder: str) -> Iterator[None]:
    """Around libraries whose errors of broken files name none, as of a download that broke off."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, json.JSONDecodeError, KeyError) as error:
        raise ModelError(
            f"model={folder!r}: its files cannot be read ({type(error).__name__}: {error!s:.200}): get or "
            "make them again"
        ) from error


def keep_masters(model: torch.nn.Module) -> None:
    """What is trained is kept in float32, and Adam's moments with it: in bfloat16, which has three digits,
    a step that is less than a few thousandths of a weight does not move it."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def reads_alone(name: str) -> bool:
    """Whether the model that `Policy.load` takes by this name is of text alone; no weights are read."""
    return not anatomy.sees(config_of(base_of(locate_model(name))[0]))


def config_of(folder: str) -> Any:
    """What transformers says of a model, by its folder or hub id."""
    try:
        return AutoConfig.from_pretrained(folder)
    except OSError as error:
        if Path(folder).is_dir():
            raise
        raise FileNotFoundError(
            f"model={folder!r}: there is no such folder, and the hub gave no such model "
            f"({str(error).splitlines()[0]}) Give a folder with config.json and weights, a hub id as "
            f"OWNER/NAME, or {' or '.join(IN_THE_BOX)}, which are in the box."
        ) from None


def load_processor(folder: str) -> Any:
    try:
        processor = AutoProcessor.from_pretrained(folder)
        processor.image_processor, processor.tokenizer  # noqa: B018 - both must be there
    except (OSError, ValueError, TypeError, AttributeError, ImportError) as error:
        raise ModelError(
            f"model={folder!r} has no processor that loads: the folder needs the files of tokenizer "
            f"and picture processor (tokenizer.json, preprocessor_config.json or processor_config."
            f"json) beside the weights. transformers says: {error!s:.300}"
        ) from error
    return processor


def reader_of(model: Any, processor: Any, min_pixels: int | None, max_pixels: int | None) -> Reader:
    if anatomy.places_pictures_in_a_grid(model):
        eye = processor.image_processor
        reader = PictureReader(eye, min_pixels, max_pixels)
        # So that whoever is given the processor reads pictures alike: another engine, a model that is saved.
        budget = {"shortest_edge": reader.min_pixels, "longest_edge": reader.max_pixels}
        eye.size = type(eye.size)(**budget)
        return reader
    if min_pixels is not None or max_pixels is not None:
        raise ModelError(
            f"model.min_pixels, model.max_pixels: {type(model).__name__} scales pictures in its own way; "
            "leave them null, and let the world show smaller pictures (env.size)"
        )
    mark = processor.tokenizer.convert_ids_to_tokens(model.config.image_token_id)
    return ProcessorReader(processor, anatomy.body_of(model).get_image_features, mark)


def base_of(folder: str) -> tuple[str, str | None]:
    """The model that a folder holds, or the model below the LoRA adapter that it holds."""
    if not (Path(folder) / "adapter_config.json").is_file():
        return folder, None
    return locate_model(adapter_base(folder)), folder


def adapter_base(folder: str) -> str:
    path = Path(folder) / "adapter_config.json"
    with _read(folder):
        told = json.loads(path.read_text(encoding="utf-8"))
    base = told.get("base_model_name_or_path") if isinstance(told, dict) else None
    if not base:
        raise ModelError(f"{path} does not name the model below the adapter")
    return str(base)


def load_adapter(model: Any, folder: str, *, empty: bool = False) -> Any:
    from peft import PeftConfig, PeftModel, get_peft_model

    with _read(folder):
        if empty:
            return get_peft_model(model, PeftConfig.from_pretrained(folder))
        return PeftModel.from_pretrained(model, folder, is_trainable=True)


def add_lora(model: Any, options: dict[str, Any]) -> Any:
    """LoRA on the language model's projections, unless `target_modules` says otherwise."""
    from peft import LoraConfig, get_peft_model

    if unknown := sorted(options.keys() - LoraConfig.__dataclass_fields__.keys()):
        raise ModelError(
            f"lora={options}: peft's LoraConfig has no {', '.join(unknown)}. Mostly used are r, lora_alpha, "
            "lora_dropout and target_modules"
        )
    chosen = {"r": 16, "lora_alpha": 32, **options}
    chosen.setdefault("target_modules", anatomy.lora_targets(model))
    try:
        return get_peft_model(model, LoraConfig(**chosen))
    except TypeError as error:  # a value of another kind
        raise ModelError(f"lora={options}: {error}") from None
