"""Runs in parallel, each a process with a log; what has finished is not made again.

    make_all(runs, places, tell)   -> for each run, in order, its result (amft_mm/compare/result.py)

As many are made at once as there are places (amft_mm/compare/places.py). A run that crashed is a result too,
with the end of its log; it is tried again when the command is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

from amft_mm.compare.grid import Run, quoted
from amft_mm.compare.places import Place
from amft_mm.compare.result import (
    Result,
    crashed,
    path_of,
    read_result,
    result_of,
    write_result,
)

LOG = "log.txt"


def make_all(
    runs: Sequence[Run], places: Sequence[Place], tell: Callable[[str], None], *, keep: bool
) -> list[Result]:
    """`keep` leaves what others begin with, checkpoints and model, and makes it again where it is gone."""
    done, free = 0, SimpleQueue[Place]()
    for place in places:
        free.put(place)

    def make(run: Run) -> Result:
        nonlocal done
        place = free.get()
        try:
            found = read_result(run)
            if found is None:
                found = _make(run, keep, place)
                write_result(run, found)
            elif keep and not run.folder.is_dir():
                found = _made_again(run, found, place)
        finally:
            free.put(place)
        done += 1
        tell(f"{done}/{len(runs)}  {run.told}  {found.told()}")
        return found

    with ThreadPoolExecutor(len(places)) as pool:
        return list(pool.map(make, runs))


def _made_again(run: Run, before: Result, place: Place) -> Result:
    """What others begin with, where only its result is left. Sums of floats differ between kinds of
    machines, and after hundreds of steps the weights do: such runs are not to be compared."""
    found = _make(run, keep=True, place=place)
    if found.state == "finished" and found.scores != before.scores:
        shutil.rmtree(run.folder)
        raise FileExistsError(
            f"{run.folder} was made again, since runs begin with it, and does not solve what it solved "
            f"before ({found.told()}; {path_of(run)} says {before.told()}): this machine computes "
            "otherwise. Bring the folder from where it was made, or begin anew by out=FOLDER"
        )
    return found


def _make(run: Run, keep: bool, place: Place) -> Result:
    shutil.rmtree(run.folder, ignore_errors=True)  # of an attempt that did not finish
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    log = run.folder.with_name(f"{run.folder.name}.{LOG}")
    words = [
        sys.executable,
        "-m",
        "amft_mm.train",
        *run.settings,
        f"out={quoted(str(run.folder))}",
        "threads=1",
    ]
    started = time.monotonic()
    with open(log, "w", encoding="utf-8") as lines:
        ended = subprocess.run(
            [*words, "wandb.mode=disabled"],
            stdout=lines,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **place},
            check=False,
        )
    seconds = time.monotonic() - started
    if ended.returncode:
        end = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        return crashed(run, f"exit {ended.returncode}: {end}", seconds)
    result = result_of(run, seconds)
    if not keep:
        for part in ("checkpoints", "model", "demos", "episodes"):
            shutil.rmtree(run.folder / part, ignore_errors=True)
    return result
