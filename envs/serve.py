"""`python -m envs.serve WORLD --port 8000` serves a world to others' trainers, by OpenEnv.

Needs `pip install amft-mm[openenv]`. `-k name=value` sets an argument of the world.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from envs.arguments import take_keywords, whole
from envs.names import check_names
from envs.printed import reader_may_leave
from envs.protocols.session import MOST_TASKS, SessionError


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m envs.serve",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("world", help="such as amft/GeneralPoints-v0, or MODULE:ID")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in")
    parser.add_argument("--port", type=whole(0, 65535), default=8000)
    parser.add_argument(
        "--sessions", type=whole(1, 100_000), default=64, help="at once (default 64)"
    )
    parser.add_argument(
        "--idle", type=float, default=600.0, help="seconds after which a session is closed (600)"
    )
    parser.add_argument(
        "--tasks", type=whole(0, 10**9), default=MOST_TASKS, help="listed of each split (1000)"
    )
    parser.add_argument("--bytes", type=whole(1), default=1_000_000, help="of one message, at most")
    take_keywords(parser, "world")
    chosen = parser.parse_args(arguments)
    try:
        check_names()
        from envs.protocols.openenv_server import Served, make_app

        served = Served(
            chosen.world,
            dict(chosen.keywords),
            sessions=chosen.sessions,
            idle=chosen.idle,
            tasks=chosen.tasks,
            bytes_=chosen.bytes,
        )
        app = make_app(served)
    except (SessionError, ImportError, SyntaxError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(
        f"{chosen.world} is served as {served.name} on http://{chosen.host}:{chosen.port}",
        flush=True,
    )
    server_of(app, chosen.host, chosen.port, chosen.bytes).run()
    return 0


def server_of(app: Any, host: str, port: int, most_bytes: int) -> Any:
    """A uvicorn server that takes messages of a limited size; `run()` serves until Ctrl+C."""
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(app, host=host, port=port, ws_max_size=most_bytes, log_level="warning")
    )


if __name__ == "__main__":
    with reader_may_leave():
        sys.exit(main())
