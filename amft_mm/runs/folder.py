"""The folder that a run writes, and nothing outside it.

    config.yaml     everything that was resolved
    metrics.jsonl   one JSON object a step, and one an evaluation
    checkpoints/    step_000050/, ...
    summary.json    the last evaluation
    instances.json  how each of its task instances fared, by split

A folder that already holds a run is never written over: `resume` goes on with it, anything else is an
error. A start that came to no step, since its model was not there, say, is no run yet: the next command
begins there as if it had not been.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from agents.files import write_text
from amft_mm.runs.dotted import MAY_DIFFER, MAY_GROW, flat, plain, sections, without
from amft_mm.runs.failures import FAILURES
from amft_mm.runs.metrics import METRICS, read_rows

if TYPE_CHECKING:  # what it needs is slow to import, and help does not
    from amft_mm.runs.processes import ProcessGroup

CONFIG = "config.yaml"
LOCK = ".lock"
"""Held by who trains there."""
REFERENCE = "reference"
"""The weights that a run stays near, as they were when exploration began."""
TAU = "tau.json"
"""A threshold that was measured then."""
TRIES = "tries.json"
"""What came of the tries of `eval.passes`, by split and task instance: [tries, successes]."""


class RunFolder:
    """Creates the folder and writes into it; every line is on disk when the call returns."""

    def __init__(
        self,
        path: Path,
        config: DictConfig,
        *,
        resume: bool = False,
        newer: Mapping[str, Any] | None = None,
        processes: ProcessGroup | None = None,
    ) -> None:
        """`newer` are settings that a run of before may lack, and what each then has to be."""
        self.path = path
        self.newer: dict[str, Any] = {}
        """Those of them that the run lacks."""
        self._lock = _locked(path) if processes is None or processes.main else None
        try:
            self._begin(config, resume, newer or {}, processes)
        except BaseException:
            self.close()
            raise

    def _begin(
        self,
        config: DictConfig,
        resume: bool,
        newer: Mapping[str, Any],
        processes: ProcessGroup | None,
    ) -> None:
        path = self.path
        there = has_begun(path)
        if there and not resume:
            raise FileExistsError(
                f"{path} already holds a run: go on with it by resume=true, or choose another folder "
                "by out=FOLDER."
            )
        if there:
            self._same_run(config, newer)
        elif _has_steps(path):
            raise FileExistsError(
                f"{path} holds steps of a run whose {CONFIG} is not there any more: put it back, or choose "
                "another folder by out=FOLDER"
            )
        if processes is not None:
            processes.wait()  # all have looked before anyone writes
        if processes is None or processes.main:
            if not there and (path / CONFIG).exists():
                _of_a_start_that_failed(path, config)
            try:
                write_text(path / CONFIG, OmegaConf.to_yaml(config, resolve=True))
            except OSError as error:
                raise _unwritable(path, error) from error

    def close(self) -> None:
        """Others may go on with it."""
        if self._lock is not None:
            self._lock.release()

    def log(self, metrics: dict[str, Any]) -> None:
        """Figures that are no numbers are written as null: the file stays JSON."""
        row = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in metrics.items()
        }
        try:
            with (self.path / METRICS).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(row, allow_nan=False) + "\n")
        except OSError as error:
            raise _unwritable(self.path / METRICS, error) from error

    def forget_after(self, step: int) -> None:
        """Rows of steps after the checkpoint will be made again. Where none is, there is no run yet."""
        if not (self.path / METRICS).exists():
            return
        kept = [row for row in read_rows(self.path) if row["step"] <= step]
        lines = "".join(json.dumps(row) + "\n" for row in kept)
        write_text(self.path / METRICS, lines)

    def summarise(
        self, summary: dict[str, Any], instances: dict[str, Any], tries: dict[str, Any]
    ) -> None:
        write_evaluation(self.path, summary, instances)
        if tries:
            write_text(self.path / TRIES, json.dumps(tries) + "\n")

    def summary(self) -> dict[str, Any]:
        path = self.path / "summary.json"
        found: dict[str, Any] = (
            json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        )
        return found

    def _same_run(self, config: DictConfig, newer: Mapping[str, Any]) -> None:
        before, now = (flat(one) for one in (read_config(self.path), config))
        there = before.keys() | sections(before)
        self.newer = {k: v for k, v in newer.items() if k not in there}
        before |= self.newer
        # Which steps are played ahead goes by it (amft_mm/training/step.py).
        fixed = {k: before.get(k) for k in ("checkpoint.every",) if before.get("train.ahead")}
        folder = before.get("demos.folder")
        if folder is None or Path(folder).is_dir():  # else it was moved, and is where they say now
            fixed["demos.folder"] = folder
        then, again = (without(one, MAY_DIFFER) for one in (before, now))
        before, now = then | fixed, again | {k: now.get(k) for k in fixed}
        changed = {k for k in before.keys() | now.keys() if before.get(k) != now.get(k)}
        told = [
            f"{k}: {before.get(k)} then, {now.get(k)} now"
            for k in sorted(changed)
            if not (k in MAY_GROW and now[k] > before[k])
        ]
        if told:
            ahead = "checkpoint.every" in changed
            may = f"eval, record{'' if ahead else ', checkpoint'} and wandb may change"
            raise FileExistsError(
                f"{self.path} was begun with other settings, which would change what is behind it "
                f"({'; '.join(told)}): leave them out, or choose another folder by out=FOLDER. "
                f"{'train.ahead plays by checkpoint.every. ' if ahead else ''}"
                f"Settings of {may}, and {', '.join(MAY_GROW)} grow."
            )


def has_begun(path: Path) -> bool:
    """Whether a run has made a step there."""
    return _has_steps(path) and (path / CONFIG).exists()


def _has_steps(path: Path) -> bool:
    return (path / METRICS).exists() or any(path.glob("checkpoints/step_*"))


def _locked(path: Path) -> FileLock:
    """So that no two processes train into one folder."""
    lock = FileLock(path / LOCK)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise FileExistsError(
            f"{path}: another process trains there now: wait for it, or choose another folder by out=FOLDER"
        ) from None
    except OSError as error:
        raise _unwritable(path, error) from error
    return lock


def _unwritable(path: Path, error: OSError) -> RuntimeError:
    return RuntimeError(
        f"{path} cannot be written ({error.strerror}): free some space there, or choose another folder by "
        "out=FOLDER"
    )


def _of_a_start_that_failed(path: Path, config: DictConfig) -> None:
    """A configuration without a step. In the way are what other weights were frozen or measured for, failures
    of another world, and demonstrations where other ones are asked for."""
    before = read_config(path)
    shutil.rmtree(path / REFERENCE, ignore_errors=True)
    for name in (TAU, FAILURES):
        (path / name).unlink(missing_ok=True)
    if any(plain(before.get(key)) != plain(config.get(key)) for key in ("env", "demos")):
        shutil.rmtree(path / "demos", ignore_errors=True)


def read_config(run: Path) -> DictConfig:
    """What a run was begun with."""
    path = run / CONFIG
    if not path.is_file():
        raise FileNotFoundError(
            f"{run} holds no run: there is no {CONFIG}; give the folder that `out=` names"
        )
    try:
        found = OmegaConf.load(path)
    except Exception as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} cannot be read ({why:.200})") from None
    if not isinstance(found, DictConfig) or not {"env", "train", "method"} <= found.keys():
        raise ValueError(f"{path} is of something else, no run's configuration")
    return found


def write_evaluation(folder: Path, summary: dict[str, Any], instances: dict[str, Any]) -> None:
    write_text(folder / "instances.json", json.dumps(instances) + "\n")
    write_text(folder / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")


def default_path(env: str, method: str, seed: int) -> Path:
    return Path("runs") / f"{env}-{method}-{seed}-{time.strftime('%Y%m%d-%H%M%S')}"
