"""Episodes from wherever they are, as plain data: `read_source(path, limit)` gives a Source.

A path is a run's folder (its rollouts and evaluations, and the metrics beside them), a folder of episodes,
or a folder of demonstrations. Files are data of others, and nothing in them is executed. A file or an episode
that cannot be read is left out and told of in `problems`; a folder without any episode is an error in words.
Pictures stay as the bytes of their files, by the hash of what they hold.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as parquet

from agents.columns import COLUMNS, LARGEST_PICTURE, LATER, MORE, pictures_in
from amft_mm.replay.sketches import Sketches
from amft_mm.runs.metrics import plain_json, read_rows

LARGEST_FILE = 20_000_000
"""Bytes of a picture's file; one that is larger is left out."""
MOST_PROBLEMS = 50
"""That are told one by one."""
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class Source:
    """A run or folder."""

    name: str
    episodes: list[dict[str, Any]]
    pictures: dict[str, bytes]
    metrics: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    path: Path | None = None
    """Where it was read; None where it was not."""
    chosen: bool = False
    """Whether each episode is there for a reason, which its label tells: there is nothing to be counted."""


def read_source(path: Path, limit: int = 2000) -> Source:
    """The newest `limit` episodes."""
    files = sorted(_files(path))
    if not files:
        raise FileNotFoundError(
            f"{path}: there are no episodes here. Give a run's folder (with episodes/ in it), a folder of "
            "episodes, or a folder of demonstrations (with data/*.parquet)"
        )
    pictures: dict[str, bytes] = {}
    episodes: list[dict[str, Any]] = []
    problems: list[str] = []
    sketches = Sketches()
    for file in reversed(files):
        if len(episodes) >= limit:
            break
        episodes = _episodes(file, limit - len(episodes), pictures, sketches, problems) + episodes
    if not episodes:
        raise ValueError(problems[0] if problems else f"{path}: its files hold no episode")
    if len(problems) > MOST_PROBLEMS:
        problems[MOST_PROBLEMS:] = [f"and {len(problems) - MOST_PROBLEMS} more"]
    return Source(path.resolve().name, episodes, pictures, read_rows(path), problems, path)


def _files(path: Path) -> Iterator[Path]:
    """By step and name, demonstrations as they come."""
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is no folder and no file of episodes")
    kept = [path / "episodes", path / "evaluation" / "episodes"]
    if any(folder.is_dir() for folder in kept):  # a run, or an evaluation
        for folder in kept:
            yield from folder.glob("**/*.parquet")
    else:
        yield from path.glob("data/*.parquet")
        yield from path.glob("*.parquet")


def _episodes(
    file: Path, most: int, pictures: dict[str, bytes], sketches: Sketches, problems: list[str]
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    try:
        for number, row in enumerate(_rows(file)):
            if len(found) >= most:
                break
            try:
                found.append(_episode(row, pictures, sketches))
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
                problems.append(f"{file}, row {number} is no episode: {error!s:.200}")
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        problems.append(f"{file} cannot be read: {error!s:.200}")
    return found


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    opened = parquet.ParquetFile(file)
    names = set(opened.schema_arrow.names)
    if missing := sorted(set(COLUMNS) - set(LATER) - names):
        raise ValueError(f"{file} lacks the columns {', '.join(missing)}")
    wanted = [name for name in (*COLUMNS, *MORE) if name in names]
    for group in range(opened.num_row_groups):
        yield from opened.read_row_group(group, columns=wanted).to_pylist()


def _episode(row: dict[str, Any], pictures: dict[str, bytes], sketches: Sketches) -> dict[str, Any]:
    known = [_kept(picture, pictures) for picture in row.get("pictures") or []]
    at = pictures_in(row.get("picture_of") or [], len(known))
    slips = set(row.get("slips") or [])
    turns = []
    for number, (message, answer) in enumerate(zip(row["messages"], row["answers"], strict=True)):
        here = [known[place] for place in (at[number] if number < len(at) else ())]
        turn = {
            "said": str(message or ""),
            "pictures": [key for key in here if key],
            "answer": str(answer or ""),
            "reward": _number(_at(row.get("rewards"), number)),
            "verdict": str(_at(row.get("verdicts"), number) or ""),
            "feedback": str(_at(row.get("feedback"), number) or ""),
            "expert": str(_at(row.get("experts"), number) or ""),
            "facts": _object(_at(row.get("facts"), number)),
            "tokens": _tokens(_object(_at(row.get("tokens"), number))),
            "prompt": _object(_at(row.get("prompts"), number)),
            "seconds": _number(_at(row.get("seconds"), number)),
            "slip": number in slips,
        }
        turns.append(turn)
    options = str(row.get("options") or "{}")
    seed = int(row.get("seed") or 0)
    return {
        "name": str(row.get("name") or ""),
        "env": str(row.get("world") or ""),
        "seed": seed,
        "instance": instance_of(row),
        "phase": str(row.get("phase") or "demonstration"),
        "label": str(row.get("label") or ""),
        "step": int(row.get("step") or 0),
        "member": int(row.get("member") or 0),
        "success": bool(row.get("success")),
        "stop": str(row.get("stop") or ""),
        "corrupted": str(row.get("corrupted") or ""),
        "sketch": sketches.of(str(row.get("world") or ""), options, seed),
        "turns": turns,
    }


def instance_of(row: dict[str, Any]) -> str:
    """The same for every episode of a task instance."""
    options, seed = str(row.get("options") or "{}"), int(row.get("seed") or 0)
    return hashlib.sha1(f"{row.get('world')} {options} {seed}".encode()).hexdigest()[:12]


def _kept(picture: Any, pictures: dict[str, bytes]) -> str | None:
    """The key of a picture whose file is a PNG of a bearable size."""
    data = (picture or {}).get("bytes") or b""
    if not data.startswith(PNG) or len(data) > LARGEST_FILE or _pixels(data) > LARGEST_PICTURE:
        return None
    key = hashlib.sha1(data).hexdigest()[:16]
    pictures.setdefault(key, data)
    return key


def _pixels(data: bytes) -> int:
    """As a PNG's header says."""
    return int.from_bytes(data[16:20], "big") * int.from_bytes(data[20:24], "big")


def _object(text: Any) -> dict[str, Any] | None:
    """What a column of JSON says; None where that is nothing, or broken."""
    try:
        found = plain_json(text) if isinstance(text, str) and text else None
    except ValueError:
        return None
    return found if isinstance(found, dict) and found else None


def _tokens(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """Those that say a figure of every word."""
    if found is None:
        return None
    words = found.get("words")
    columns = [words, found.get("log_probs"), found.get("entropies"), found.get("others")]
    whole = all(isinstance(c, list) and len(c) == len(words or ()) for c in columns)
    return found if whole and words else None


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and math.isfinite(value)
    return value if known else None


def _at(values: Sequence[Any] | None, number: int) -> Any:
    return values[number] if values is not None and number < len(values) else None
