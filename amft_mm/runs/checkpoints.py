"""Checkpoints that are whole or not there: `step_000050/` with weights, optimizer, controller, position.

A checkpoint is written beside its place and moved there last. `latest(folder)` is the newest whole one.
The newest `keep` stay, and the best one, whose name is in `best.json`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.files import why_not_written, write_text

PREFIX = "step_"
STATE = "state.pt"


class CheckpointError(RuntimeError):
    """A checkpoint that could not be written or read; the last good one is as it was."""


def save(
    folder: Path, step: int, state: dict[str, Any], model: dict[str, torch.Tensor], keep: int
) -> Path:
    """`state` is plain data and tensors, `model` the weights that train."""
    final = path_of(folder, step)
    unfinished = folder / f".unfinished-{final.name}"
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        # Into an open file, which says what is wrong with the disk; torch's own writer does not.
        with open(unfinished / STATE, "wb") as file:
            torch.save({"model": model, "random": random_states(), **state}, file)
            file.flush()
            os.fsync(file.fileno())
        shutil.rmtree(final, ignore_errors=True)
        os.replace(unfinished, final)
    except (OSError, RuntimeError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise CheckpointError(
            f"{final} could not be written: {why_not_written(error)}. The last one that could is "
            f"{name_of(latest(folder))}; free some space, then go on from it by resume=true"
        ) from error
    _forget_old(folder, keep)
    return final


def path_of(folder: Path, step: int) -> Path:
    return folder / f"{PREFIX}{step:06d}"


def latest(folder: Path) -> Path | None:
    found = sorted(path for path in folder.glob(f"{PREFIX}*") if (path / STATE).is_file())
    return found[-1] if found else None


def name_of(path: Path | None) -> str:
    return "none" if path is None else path.name


def names(folder: Path) -> str:
    """Which ones there are, for messages."""
    return ", ".join(path.name for path in sorted(folder.glob(f"{PREFIX}*"))) or "none"


def load(path: Path) -> dict[str, Any]:
    """The state; random states are put back. Plain data and tensors alone are read."""
    try:
        state: dict[str, Any] = torch.load(path / STATE, weights_only=True, map_location="cpu")
        lacking = [key for key in ("model", "step", "random") if key not in state]
        if lacking:
            raise ValueError(f"it lacks {', '.join(lacking)}")
    except Exception as error:
        raise CheckpointError(
            f"{path / STATE} cannot be read ({error!s:.200}): delete {path} to go on from an earlier one"
        ) from error
    put_random_states(state.pop("random"))
    return state


def mark_best(folder: Path, step: int, score: float) -> bool:
    """Remembers the checkpoint of this step if no better one is known; whether it is the best."""
    known = best(folder)
    if known is not None and score <= known["score"]:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "best.json", json.dumps({"step": step, "score": score}))
    return True


def best(folder: Path) -> dict[str, Any] | None:
    path = folder / "best.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def forget_lost_best(folder: Path) -> None:
    """Where a run was killed before the checkpoint that its best evaluation was of was written."""
    known = best(folder)
    if known is not None and not path_of(folder, known["step"]).is_dir():
        (folder / "best.json").unlink()


def random_states() -> dict[str, Any]:
    version, words, gauss = random.getstate()
    numpys: Any = np.random.get_state()
    kind, keys, position, has_gauss, cached = numpys
    return {
        "python": [version, list(words), gauss],
        "numpy": [kind, keys.tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
    }


def put_random_states(states: dict[str, Any]) -> None:
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])


def _forget_old(folder: Path, keep: int) -> None:
    kept = best(folder)
    name = None if kept is None else path_of(folder, kept["step"]).name
    for path in sorted(folder.glob(f"{PREFIX}*"))[: -max(1, keep)]:
        if path.name != name:
            shutil.rmtree(path, ignore_errors=True)
