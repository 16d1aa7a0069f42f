"""Runs in parallel, each a process with a log; what has finished is not made again.

    make_all(runs, places, tell)   -> for each run, in order, its result (amft_mm/compare/result.py)

As many are made at once as there are places (amft_mm/compare/places.py). Calls that share a folder, on one
machine or several, share the work: who makes a run holds its lock, the others take the next, and what is left
they wait for. Who stops the command stops its runs; they go on from their last checkpoints, if they can, when
it is given again. One that crashed is a result too, with the end of its log; it is tried again then.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from agents.files import write_text
from amft_mm.compare.grid import Run
from amft_mm.compare.places import Place
from amft_mm.compare.processes import ENDS, Processes, alone
from amft_mm.compare.replays import keep_last
from amft_mm.compare.result import (
    Result,
    Score,
    crashed,
    fingerprint,
    path_of,
    read_crash,
    read_result,
    result_of,
    write_result,
)
from amft_mm.config.command_line import quoted
from amft_mm.runs.folder import has_begun
from amft_mm.runs.metrics import read_rows

LOG = "log.txt"
BEGUN = "begun.txt"
"""Beside the folder of a run that has not ended: its settings, and what its warm-up came to."""
STOPPED = "stopped on the way; it goes on from its last checkpoint when the command is given again"
WAIT = 1.0
"""Seconds, between looks at what others make."""


def make_all(
    runs: Sequence[Run], places: Sequence[Place], tell: Callable[[str], None], *, keep: bool
) -> list[Result]:
    """`keep` leaves what others begin with, checkpoints and model, and makes it again where it is gone."""
    left, results, telling = _Left(runs), dict[int, Result](), threading.Lock()
    # What crashes while others look on is not tried again by them.
    old = [read_crash(run) for run in runs]

    def work(place: Place) -> None:
        while taken := left.take():
            number, lock = taken
            try:
                found = _result(runs[number], old[number], keep, place, processes)
            finally:
                lock.release()
            with telling:
                results[number] = found
                tell(f"{len(results)}/{len(runs)}  {runs[number].title}  {found.as_text()}")

    with ThreadPoolExecutor(len(places)) as pool, Processes() as processes:
        try:
            for worker in as_completed([pool.submit(work, place) for place in places]):
                worker.result()
        finally:
            left.clear()  # after a mistake the others end with what they have begun
    return [results[number] for number in range(len(runs))]


class _Left:
    """Runs that are still to be made, by number, for workers to take."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = dict(enumerate(runs))
        self._guard = threading.Lock()

    def take(self) -> tuple[int, FileLock] | None:
        """A run that nobody makes now, and its lock, held; None where none is left. While others make all
        that are left it waits."""
        while True:
            with self._guard:
                if not self._runs:
                    return None
                for number, run in self._runs.items():
                    run.folder.parent.mkdir(parents=True, exist_ok=True)
                    lock = FileLock(_beside(run, "lock"))
                    with suppress(Timeout):
                        lock.acquire(blocking=False)
                        del self._runs[number]
                        return number, lock
            time.sleep(WAIT)

    def clear(self) -> None:
        with self._guard:
            self._runs.clear()


def _result(
    run: Run, old_crash: Result | None, keep: bool, place: Place, processes: Processes
) -> Result:
    found, crash = read_result(run), read_crash(run)
    if found is None and crash != old_crash:
        found = crash
    if found is None:
        found = _make(run, keep, place, processes)
        if found.why != STOPPED:  # which is no result: whoever comes next goes on with it
            write_result(run, found)
    elif keep and found.state == "finished" and not (run.folder / "model").is_dir():
        found = _made_again(run, found, place, processes)
    return found


def _made_again(run: Run, before: Result, place: Place, processes: Processes) -> Result:
    """What others begin with, where only its result is left. Sums of floats differ between kinds of
    machines, and after hundreds of steps the weights do: such runs are not to be compared."""
    found = _make(run, True, place, processes)
    if found.state == "finished" and _solved(found) != _solved(before):
        shutil.rmtree(run.folder)
        raise FileExistsError(
            f"{run.folder} was made again, since runs begin with it, and does not solve what it solved "
            f"before ({found.as_text()}; {path_of(run)} says {before.as_text()}): this machine computes "
            "otherwise. Bring the folder from where it was made, or begin anew by out=FOLDER"
        )
    return found


def _solved(result: Result) -> dict[str, Score]:
    """Its scores, as files of before `flawless` was told have them too."""
    return {split: replace(score, flawless=None) for split, score in result.scores.items()}


def _make(run: Run, keep: bool, place: Place, processes: Processes) -> Result:
    alone(run.folder)
    log, started = _beside(run, LOG), time.monotonic()
    before, code = 0.0, None

    def train(words: list[str], mode: str) -> int:
        told = [f"out={quoted(str(run.folder))}", "threads=1", "wandb.mode=disabled"]
        return processes.train([*words, *told], log, mode, place)

    if _can_go_on(run):
        rows = read_rows(run.folder)
        before = sum(row.get("time/step", 0.0) for row in rows)
        code = train(["resume=true"], "a")
        if code and code not in ENDS and read_rows(run.folder) == rows:
            code, before = None, 0.0  # by an older version, or from a checkpoint that was spoilt
    if code is None:
        shutil.rmtree(run.folder, ignore_errors=True)
        write_text(_beside(run, BEGUN), _beginning(run))
        code = train(list(run.settings), "w")
    seconds = before + time.monotonic() - started
    if code in ENDS:
        return crashed(run, STOPPED, seconds)
    if code:
        end = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        return crashed(run, f"exit {code}: {end}", seconds)
    result = result_of(run, seconds)
    _beside(run, BEGUN).unlink(missing_ok=True)
    if not keep:
        _clear(run, result)
    return result


def _can_go_on(run: Run) -> bool:
    """Whether there is an attempt that began like this and did not end."""
    begun = _beside(run, BEGUN)
    return (
        begun.is_file()
        and begun.read_text(encoding="utf-8") == _beginning(run)
        and has_begun(run.folder)
    )


def _beginning(run: Run) -> str:
    """By what settings and after which warm-up."""
    warm = read_result(run.warm) if run.warm else None
    return "\n".join([*run.settings, fingerprint(warm) if warm else ""])


def _beside(run: Run, name: str) -> Path:
    return run.folder.with_name(f"{run.folder.name}.{name}")


def _clear(run: Run, result: Result) -> None:
    """Leaves figures, and episodes where they are to be shown."""
    shown = run.shown and result.state == "finished"
    if shown:
        keep_last(run.folder, next(iter(result.scores)))
    for part in ("checkpoints", "model", "demos", *([] if shown else ["episodes"])):
        shutil.rmtree(run.folder / part, ignore_errors=True)
