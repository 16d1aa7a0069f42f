"""`run(words, cwd, env)`: as subprocess.run does it, but `python -m MODULE` starts at once.

To load torch and transformers takes a process longer than most of what tests ask of it. So one process a
worker loads what is slow and nothing of this suite, and forks into each command that is to be run: a
process of its own with its own folder, environment, output and exit status, whose first import of
anything here is its own. What starts otherwise (torchrun, what is killed on the way) is started as ever.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

SLOW = (
    "torch",
    "torchvision.transforms",
    "transformers.image_processing_utils",
    "transformers.modeling_utils",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
    "transformers.models.qwen2_5_vl.processing_qwen2_5_vl",
    "transformers.models.qwen2_vl.image_processing_qwen2_vl",
    "torch.distributed.checkpoint",
    "torch.distributed.fsdp",
    "datasets",
    "peft",
    "pandas",
    "matplotlib.pyplot",
    "reasoning_gym",
    "hydra",
    "gymnasium",
)
"""What commands load; what one does not need costs it nothing."""


def run(
    words: Sequence[str | Path],
    *,
    cwd: str | Path = ".",
    env: Mapping[str, str] | None = None,
    timeout: float = 600,
) -> subprocess.CompletedProcess[str]:
    """`words` begin with a Python, `-m` and a module; nothing is typed in."""
    told = [str(word) for word in words]
    if told[:2] != [sys.executable, "-m"]:
        raise ValueError(f"{told[:3]}: it is for {sys.executable} -m MODULE")
    with tempfile.TemporaryDirectory() as place:
        out, err = Path(place, "out"), Path(place, "err")
        job = {
            "words": told[2:],
            "cwd": str(Path(cwd).resolve()),
            "env": dict(os.environ if env is None else env),
            "out": str(out),
            "err": str(err),
        }
        status = _asked(job, timeout)
        read = (path.read_text(encoding="utf-8") for path in (out, err))
        return subprocess.CompletedProcess(told, status, *read)


def _asked(job: dict[str, Any], timeout: float) -> int:
    ready = _ready()
    assert ready.stdin is not None
    assert ready.stdout is not None
    ready.stdin.write(json.dumps(job).encode() + b"\n")
    process = int(ready.stdout.readline())
    late = not select.select([ready.stdout], [], [], timeout)[0]
    if late:
        os.kill(process, signal.SIGKILL)
    status = int(ready.stdout.readline())
    if late:
        raise subprocess.TimeoutExpired(job["words"], timeout)
    return status


@cache
def _ready() -> subprocess.Popen[bytes]:
    """It ends with this process: its input is closed then. Nothing is buffered: what was read ahead, `select`
    would wait for."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env=environment,
    )


def _serve() -> dict[str, Any] | None:
    """Forks for each job and tells its process and its status; the job, in the process that is to do it."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            job: dict[str, Any] = json.loads(line)
            return job
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return None


def _become(job: dict[str, Any]) -> None:
    """What `python -m` does, in a process that has begun."""
    for number, name in enumerate((os.devnull, job["out"], job["err"])):
        opened = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    paths = job["env"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[0:1] = [job["cwd"], *(path for path in paths if path)]
    module, *sys.argv[1:] = job["words"]
    status: Any = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    _end(status)


def _end(status: Any) -> NoReturn:
    """As an interpreter ends, but for taking apart what was loaded, which takes longer than most jobs."""
    if status is not None and not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or 0)


if __name__ == "__main__":
    for library in SLOW:
        importlib.import_module(library)
    gc.freeze()  # so that collecting in a child does not copy what is shared
    todo = _serve()
    if todo is not None:
        _become(todo)
