"""Checkpoints that are whole or not there: `step_000050/` with weights, optimizer, controller, position.

    writer = Writer(folder, keep, processes)
    writer.save(step, state)       in the background; raises what came of the one before
    writer.wait()                  until the last one is whole
    load(path, parameters, rank)   what was saved

`state` is nested, of plain data and tensors. Tensors are kept by all processes together
(amft_mm/runs/tensors.py); plain data, of the first process, goes to `state.pt`, and with it the random states
of each. It is written last: a checkpoint without it is none. `latest(folder)` is the newest whole one. The
newest `keep` stay, and the best one, whose name is in `best.json`.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.files import reason_of, whole_file, write_text
from amft_mm.runs import tensors
from amft_mm.runs.processes import ProcessGroup
from amft_mm.runs.tensors import FAILURES

PREFIX = "step_"
STATE = "state.pt"
HELD = "tensor"
"""Stands in plain data, with its name, where there was a tensor."""


class CheckpointError(RuntimeError):
    """A checkpoint that could not be written or read; the last good one is as it was."""


class Writer:
    def __init__(self, folder: Path, keep: int, processes: ProcessGroup | None = None) -> None:
        self._folder, self._keep, self._processes = folder, keep, processes
        self._group = None if processes is None else processes.for_background()
        self._main = processes is None or processes.main
        self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._writing: Future[None] | None = None
        self._last = -1

    def save(self, step: int, state: dict[str, Any]) -> None:
        """All processes at once. What the state holds may change when this returns."""
        self.wait()
        final = path_of(self._folder, step)
        # A run may have gone on from there and come no further.
        if step == self._last or is_whole(final):
            return
        own = [random_states()]
        states = own if self._processes is None else self._processes.gather(own)
        plain, held = parted({**state, "random": states})
        words = io.BytesIO()
        torch.save(plain, words)
        try:
            writing = tensors.save(final, held, self._group)
        except (OSError, RuntimeError) as error:
            raise _unwritable(final, error) from error
        self._last = step
        self._writing = self._thread.submit(self._finish, final, writing, words.getvalue())

    def wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """When the last one is written, whatever came of it."""
        self._thread.shutdown()

    def _finish(self, final: Path, writing: Future[Any], words: bytes) -> None:
        try:
            writing.result()
            if self._main:
                with whole_file(final / STATE) as unfinished:
                    _to_disk(unfinished, words)
        except FAILURES as error:
            if self._main:
                shutil.rmtree(final, ignore_errors=True)
            raise _unwritable(final, error) from error
        if self._main:
            _forget_old(self._folder, self._keep)


def _unwritable(final: Path, error: BaseException) -> CheckpointError:
    return CheckpointError(
        f"{final} could not be written: {reason_of(error)}. The last one that could is "
        f"{name_of(latest(final.parent))}; free some space, then go on from it by resume=true"
    )


def parted(state: Any, name: str = "") -> tuple[Any, dict[str, torch.Tensor]]:
    """The plain data of a nested state, and its tensors by the names of the places where they were."""
    held: dict[str, torch.Tensor] = {}

    def part(value: Any, name: str) -> Any:
        if isinstance(value, torch.Tensor):
            held[name] = value.detach()
            return (HELD, name)
        if isinstance(value, dict):
            return {
                key: part(one, f"{name}/{key}" if name else str(key)) for key, one in value.items()
            }
        if isinstance(value, list | tuple):
            return type(value)(part(one, f"{name}/{i}") for i, one in enumerate(value))
        return value

    return part(state, name), held


def places(plain: Any) -> Iterator[str]:
    """Where tensors were."""
    if isinstance(plain, tuple) and len(plain) == 2 and plain[0] == HELD:
        yield plain[1]
    elif isinstance(plain, dict | list | tuple):
        for one in plain.values() if isinstance(plain, dict) else plain:
            yield from places(one)


def joined(plain: Any, held: Mapping[str, torch.Tensor]) -> Any:
    """The state again; without the tensors that are not among `held`."""
    if isinstance(plain, tuple) and len(plain) == 2 and plain[0] == HELD:
        return held.get(plain[1])
    if isinstance(plain, dict):
        return {key: joined(one, held) for key, one in plain.items()}
    if isinstance(plain, list | tuple):
        return type(plain)(joined(one, held) for one in plain)
    return plain


def path_of(folder: Path, step: int) -> Path:
    return folder / f"{PREFIX}{step:06d}"


def step_of(path: Path) -> int:
    return int(path.name.removeprefix(PREFIX))


def whole(folder: Path) -> list[Path]:
    """Those that were written to their end, the newest last."""
    return sorted(filter(is_whole, _steps(folder)), key=step_of)


def _steps(folder: Path) -> Iterator[Path]:
    """Those of a run; a copy that somebody has kept beside them is none."""
    return (path for path in folder.glob(f"{PREFIX}*") if path.name[len(PREFIX) :].isdecimal())


def is_whole(path: Path) -> bool:
    return (path / STATE).is_file()


def latest(folder: Path) -> Path | None:
    return next(reversed(whole(folder)), None)


def name_of(path: Path | None) -> str:
    return "none" if path is None else path.name


def names(folder: Path) -> str:
    """Which ones there are, for messages."""
    return ", ".join(path.name for path in whole(folder)) or "none"


def load(
    path: Path,
    parameters: Mapping[str, torch.Tensor] | None = None,
    *,
    rank: int = 0,
    only: str = "",
) -> dict[str, Any]:
    """The state; random states of this `rank` are put back, where there are any. What has the name of one of
    the `parameters` among those of its place, and its shape, comes sharded as that is. `only` the tensors of
    one part, where others need not be read. Plain data and tensors alone are read."""
    own = parameters or {}

    def like(name: str, shape: torch.Size) -> torch.Tensor | None:
        known = next((own[word] for word in name.split("/") if word in own), None)
        return known if known is not None and known.shape == shape else None

    try:
        plain: dict[str, Any] = torch.load(path / STATE, weights_only=True, map_location="cpu")
        lacking = [key for key in ("model", "step", "random") if key not in plain]
        if lacking:
            raise ValueError(f"it lacks {', '.join(lacking)}")
        words = f"{only}/" if only else ""
        held = tensors.load(path, like, words)
        if lost := [name for name in places(plain) if name.startswith(words) and name not in held]:
            raise ValueError(f"{len(lost)} of its tensors are not there, {lost[0]} among them")
        state: dict[str, Any] = joined(plain, held)
    except FAILURES as error:
        raise CheckpointError(
            f"{path} cannot be read ({reason_of(error)}): delete {path} to go on from an earlier one"
        ) from error
    random_states = state.pop("random")
    if isinstance(random_states, dict):  # of the first process alone, as they were once kept
        random_states = [random_states]
    if not only and rank < len(random_states):
        put_random_states(random_states[rank])
    return state


def mark_best(folder: Path, step: int, score: float, by: str = "") -> bool:
    """Remembers the checkpoint of this step if no better one `by` this measure is known; whether it is the
    best."""
    known = best(folder, by)
    if known is not None and score <= known["score"]:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "best.json", json.dumps({"step": step, "score": score, "by": by}))
    return True


def best(folder: Path, by: str | None = None) -> dict[str, Any] | None:
    """By this measure, where one is named: a run that goes on may be given another. Those of before do not
    say theirs."""
    path = folder / "best.json"
    if not path.is_file():
        return None
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        float(known["score"]), int(known["step"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({reason_of(error)}): delete it, and the next best checkpoint is the best"
        ) from error
    other = by is not None and known.get("by", by) != by
    return None if other else known


def forget_unfinished(folder: Path) -> None:
    """What a kill left half-written, and which one is the best where that is not there."""
    for path in list(_steps(folder)):
        if not is_whole(path):
            shutil.rmtree(path, ignore_errors=True)
    known = best(folder)
    if known is not None and not is_whole(path_of(folder, known["step"])):
        (folder / "best.json").unlink()


def random_states() -> dict[str, Any]:
    version, words, gauss = random.getstate()
    numpys: Any = np.random.get_state()
    kind, keys, position, has_gauss, cached = numpys
    return {
        "python": [version, list(words), gauss],
        "numpy": [kind, keys.tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state().tolist(),
        "cuda": torch.cuda.get_rng_state().tolist() if torch.cuda.is_initialized() else None,
    }


def put_random_states(states: dict[str, Any]) -> None:
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), position, has_gauss, cached))
    torch.set_rng_state(torch.tensor(states["torch"], dtype=torch.uint8))
    if states.get("cuda") and torch.cuda.is_available():
        torch.cuda.set_rng_state(torch.tensor(states["cuda"], dtype=torch.uint8))


def _to_disk(path: Path, words: bytes) -> None:
    with open(path, "wb") as file:
        file.write(words)
        file.flush()
        os.fsync(file.fileno())


def _forget_old(folder: Path, keep: int) -> None:
    kept = best(folder)
    name = None if kept is None else path_of(folder, kept["step"]).name
    for path in whole(folder)[: -max(1, keep)]:
        if path.name != name:
            shutil.rmtree(path, ignore_errors=True)
