"""The learner: training, evaluation, comparison and replay, and the command line.

Its sister packages have generic names. A folder of the same name in the working directory would
be imported in their place; that is noticed here, before anything else goes wrong.
"""

import os
from importlib.util import find_spec
from pathlib import Path

_HOME = Path(__file__).resolve().parent.parent


def _refuse_shadows() -> None:
    for name in ("envs", "agents"):
        spec = find_spec(name)
        found = (
            [Path(place).resolve() for place in (spec.submodule_search_locations or [])]
            if spec
            else []
        )
        if found != [_HOME / name]:
            where = ", ".join(map(str, found)) or (spec.origin if spec else "nowhere")
            raise ImportError(
                f"the package {name!r} of amft_mm lies in {_HOME / name}, but Python finds {where}. "
                "Rename or leave that folder, or run the command from another directory."
            )


_refuse_shadows()

# Threads that wait for work sleep. Else those of two runs on the same cores take each other's time by
# waiting busily, and both are ten times as slow. It is read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
