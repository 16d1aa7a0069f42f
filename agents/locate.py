"""Where a model is: `tiny` and `tiny-random` are in the box, everything else is a folder or hub id."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

from agents.files import weights_written
from envs.paths import asset

IN_THE_BOX = ("tiny", "tiny-random")


@lru_cache
def locate_model(name: str) -> str:
    """The folder of a model that is here, or the hub id as it was given."""
    if name == "tiny":
        return str(asset("tiny-vlm"))
    if name == "tiny-random":
        return str(_untrained())
    if name.startswith((".", "/", "~")) or Path(name).exists():
        folder = Path(name).expanduser()
        if (
            not (folder / "config.json").is_file()
            and not (folder / "adapter_config.json").is_file()
        ):
            raise FileNotFoundError(
                f"model={name!r}: no model there (a folder with config.json and weights is "
                f"expected). In the box are {' and '.join(IN_THE_BOX)}."
            )
        return str(folder)
    return name


def _untrained() -> Path:
    """The tiny model before its pretraining, with its tokenizer; built once for this process."""
    from transformers import PreTrainedTokenizerFast

    from agents.tiny_vlm import build_tiny_vlm

    folder = Path(tempfile.mkdtemp(prefix="amft-mm-tiny-random-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with weights_written(folder):
        build_tiny_vlm(folder, tokenizer=PreTrainedTokenizerFast.from_pretrained(asset("tiny-vlm")))
    return folder
