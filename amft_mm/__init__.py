"""The learner: training, evaluation, comparison and replay, and the command line.

    from amft_mm import Trainer, configuration

    config = configuration("train", ["env=math", "train.steps=20", "out=runs/first"])
    with Trainer.of(config) as trainer:
        summary = trainer.train()

Both are imported when they are asked for: `import amft_mm` is done in a moment.
"""

import os
import runpy
from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

# Its sister packages have generic names. Whoever else's package is found under one is told here, before
# anything else goes wrong: by the file's path, since `envs` itself may be in the way.
runpy.run_path(str(Path(__file__).resolve().parent.parent / "envs" / "names.py"))["check_names"]()

# Threads that wait for work sleep. Else those of two runs on the same cores take each other's time by
# waiting busily, and both are ten times as slow. It is read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

PUBLIC = {"Trainer": "amft_mm.trainer", "configuration": "amft_mm.config.command_line"}
"""What programs use, and where it is."""
__all__ = ["Trainer", "__version__", "configuration"]


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC})
