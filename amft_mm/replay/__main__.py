"""`python -m amft_mm.replay RUN [RUN ...]` writes replay.html; `--serve` follows a live run.

RUN is a run's folder, a folder of episodes or a folder of demonstrations; several are shown side by side.
`--gif FILE`, `--mp4 FILE` and `--frames FOLDER` make slides of one episode (`--episode 3`, as counted from
0).
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before what is slow to import
    from amft_mm import commands

    sys.exit(commands.main(["replay", *sys.argv[1:]]))

import argparse
from collections.abc import Callable
from pathlib import Path

from agents.files import whole_file
from amft_mm.replay.film import frames, save
from amft_mm.replay.page import parts
from amft_mm.replay.reader import read_source
from amft_mm.replay.server import serve
from envs.arguments import whole

FILMS = "--gif, --mp4 or --frames"


def main(arguments: list[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    try:
        _replay(given)
    except (ValueError, RuntimeError, OSError) as error:
        raise SystemExit(f"replay: {error}") from None


def _replay(given: argparse.Namespace) -> None:
    paths = [Path(path) for path in given.runs]
    film = given.gif or given.mp4 or given.frames
    if ignored := _ignored(given, film):
        raise ValueError(ignored)
    if given.serve:
        server = serve(paths, given.port or 0, limit=given.limit)
        print(
            f"http://127.0.0.1:{server.server_port}/ follows {', '.join(given.runs)}; Ctrl+C ends"
        )
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            server.server_close()
        return
    sources = [read_source(path, given.limit) for path in paths]
    if film:
        [source], number = sources, given.episode or 0
        if not 0 <= number < len(source.episodes):
            raise ValueError(
                f"--episode {number}: there are {len(source.episodes)}, counted from 0"
            )
        save(frames(source.episodes[number], source.pictures), Path(film))
        print(film)
        return
    beside = paths[0].parent if paths[0].is_file() else paths[0]
    out = Path(given.out or (beside / "replay.html" if len(paths) == 1 else "replay.html"))
    with (
        whole_file(out) as unfinished,
        unfinished.open("w", encoding="utf-8", errors="replace") as file,
    ):
        file.writelines(parts(sources))
    count = sum(len(source.episodes) for source in sources)
    print(f"{out}: {count} episodes, {out.stat().st_size / 1e6:.1f} MB")


def _ignored(given: argparse.Namespace, film: str | None) -> str:
    """What is said of an option that would do nothing beside the others."""
    if given.episode is not None and not film:
        return f"--episode goes with {FILMS}, which show one; give one of them"
    if given.port is not None and not given.serve:
        return "--port goes with --serve, which is not given"
    if given.out is not None and (film or given.serve):
        return f"--out names the page that is written without --serve and {FILMS}; leave it out"
    if film and given.serve:
        return f"--serve follows runs and writes no file; give it or {FILMS}, not both"
    if film and len(given.runs) > 1:
        return f"{FILMS} show an episode of one RUN, and {len(given.runs)} are given"
    return ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("amft_mm.replay", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--out", metavar="FILE", help="the page; default: replay.html in RUN")
    parser.add_argument("--limit", type=whole(1), default=2000, help="newest episodes of each RUN")
    parser.add_argument("--serve", action="store_true", help="follow RUN while it trains")
    parser.add_argument("--port", type=whole(0, 65535), help="of --serve; default: a free one")
    parser.add_argument(
        "--episode", type=whole(0), help="for the films, counted from 0; default: 0"
    )
    film = parser.add_mutually_exclusive_group()
    film.add_argument("--gif", metavar="FILE.gif", type=_ending(".gif"))
    film.add_argument("--mp4", metavar="FILE.mp4", type=_ending(".mp4"))
    film.add_argument("--frames", metavar="FOLDER", type=_ending(""))
    return parser


def _ending(ending: str) -> Callable[[str], str]:
    """A name that ends so, by which it is told what to save; "" is a folder's, which ends as no film does."""

    def read(name: str) -> str:
        found = Path(name).suffix
        if found != ending and (ending or found in (".gif", ".mp4")):
            told = f"a name that ends in {ending}" if ending else "a folder"
            raise argparse.ArgumentTypeError(f"{name!r}: give {told}")
        return name

    return read
