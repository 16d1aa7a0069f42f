"""The learner: training, evaluation, comparison and replay, and the command line."""

import os
import runpy
from pathlib import Path

# Its sister packages have generic names. Whoever else's package is found under one is told here, before
# anything else goes wrong: by the file's path, since `envs` itself may be in the way.
runpy.run_path(str(Path(__file__).resolve().parent.parent / "envs" / "names.py"))["check_names"]()

# Threads that wait for work sleep. Else those of two runs on the same cores take each other's time by
# waiting busily, and both are ten times as slow. It is read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
