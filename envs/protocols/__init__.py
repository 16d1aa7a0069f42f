"""Others' protocols: our worlds by theirs, and theirs as our worlds.

    session.py         a world as plain data: what every protocol needs
    openenv_server.py  serves a world by OpenEnv (`python -m envs.serve`)
    openenv_client.py  plays a server of OpenEnv as a world (`amft/OpenEnv-v0`)

`envs/trl.py` is a world for TRL's GRPOTrainer. OpenEnv is an extra, `pip install amft-mm[openenv]`, and is
imported where it is used.
"""

from __future__ import annotations

from importlib.util import find_spec


def need_openenv() -> None:
    """An error that says what to install."""
    if find_spec("openenv") is None:
        raise ImportError("OpenEnv is not installed: pip install 'amft-mm[openenv]'")
