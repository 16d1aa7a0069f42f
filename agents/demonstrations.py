"""Demonstrations as a `datasets` folder: what experts did, pictures inside, and how to read it.

A folder holds `data/*.parquet` and a README.md that says what the columns are, so that
`datasets.load_dataset(FOLDER)` opens it, and `Demonstrations(FOLDER)` gives its rows as they are
needed. Files are written whole or not at all: an interrupted run goes on where it was.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
from PIL import Image as PILImage

from agents.columns import COLUMNS, LATER, decoded, pictures_in
from agents.conversation import OUT_OF_TOKENS, ChatModel, Conversation, Limits, Message
from agents.files import whole_file, write_text
from agents.trajectory import Trajectory
from agents.worlds import World
from envs.shown import Briefing
from envs.tools import Tool

CHARACTERS = 64
"""Of a token, at the very most, in texts that are worth reading."""
UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    RecursionError,
    SyntaxError,
    PILImage.DecompressionBombError,
)
"""What reading a row raises where its file is broken; the last two are Pillow's, of its pictures."""


@dataclass
class Demonstration:
    """One row; see agents/columns.py. Pictures are arrays in memory, PNG in the file."""

    name: str
    messages: list[str]
    answers: list[str]
    pictures: list[np.ndarray] = field(default_factory=list, repr=False)
    picture_of: list[int] = field(default_factory=list)
    world: str = ""
    options: str = "{}"
    seed: int = 0
    slips: list[int] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)
    success: bool = True
    stop: str = ""
    corrupted: str = ""
    system: str = ""
    tools: str = "[]"
    tool_of: list[str] = field(default_factory=list)

    def brief(self, briefing: Briefing) -> None:
        """Keeps what the world told before its first message."""
        self.system = briefing.system
        self.tools = json.dumps([tool.declared() for tool in briefing.tools])

    def briefing(self) -> Briefing:
        return Briefing(self.system, tuple(map(Tool.of_others, json.loads(self.tools))))

    def show(self, text: str, pictures: Sequence[np.ndarray] = (), tool: str = "") -> None:
        """Adds a message; its answer is added to `answers`."""
        self.messages.append(text)
        self.picture_of.append(len(self.pictures) if pictures else -1)
        self.pictures.extend(pictures)
        self.tool_of.append(tool)

    def turns(self) -> Iterator[tuple[Message, str]]:
        """Message and answer."""
        places = pictures_in(self.picture_of, len(self.pictures))
        for number, (text, answer) in enumerate(zip(self.messages, self.answers, strict=True)):
            here = places[number] if number < len(places) else range(0)
            tool = self.tool_of[number] if number < len(self.tool_of) else ""
            yield Message(text, tuple(self.pictures[place] for place in here), tool), answer

    def conversation(self, model: ChatModel, limits: Limits | None = None) -> Conversation:
        """As the model of `model` would have it. Cut at a turn where it is too long;
        `conversation.stopped` says so."""
        conversation = Conversation(model, limits)
        readable, briefing = CHARACTERS * conversation.limits.max_tokens, self.briefing()
        for number, (message, answer) in enumerate(self.turns()):
            text, images, tool = message
            if max(len(text), len(answer)) > readable:  # which would take minutes to find out
                conversation.stopped = OUT_OF_TOKENS
            if conversation.stopped or not conversation.observe(
                text, images, tool=tool, briefing=briefing
            ):
                break
            if not conversation.has_room_for(answer):
                conversation.stopped = OUT_OF_TOKENS
                break
            conversation.say(answer, learnt=number not in self.slips)
        return conversation


@dataclass(frozen=True)
class _Part:
    """What is known of a file that is not open."""

    path: Path
    metadata: parquet.FileMetaData
    columns: list[str]


class Demonstrations(Sequence[Demonstration]):
    """The rows of a folder, read when asked for. One file is open at a time, however many there are."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        files = sorted(self.folder.glob("data/*.parquet")) or sorted(self.folder.glob("*.parquet"))
        if not files:
            raise FileNotFoundError(
                f"{self.folder} holds no demonstrations: expected data/*.parquet, as written by "
                f"`python -m amft_mm.demos env=... out={self.folder}`"
            )
        self._parts = [_part(path) for path in files]
        self._last: tuple[int, parquet.ParquetFile] | None = None
        # (file, row group, row) of every row; row groups are small, so that reading one is cheap.
        self._places = [
            (file, group, row)
            for file, part in enumerate(self._parts)
            for group in range(part.metadata.num_row_groups)
            for row in range(part.metadata.row_group(group).num_rows)
        ]
        if not self._places:
            raise ValueError(f"{self.folder} holds no demonstration: its files are empty")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        file, group, row = self._places[index]
        part = self._parts[file]
        try:
            table = self._opened(file).read_row_group(group, columns=part.columns)
            return from_row(table.slice(row, 1).to_pylist()[0])
        except UNREADABLE as error:
            raise ValueError(
                f"{part.path}, row {row} of group {group}, cannot be read ({error!s:.200}): make the "
                "demonstrations again, or take the file out of the folder"
            ) from None

    def _opened(self, file: int) -> parquet.ParquetFile:
        """The one that was read last stays open, for rows in order. It closes when nobody reads it any more:
        another thread may still."""
        last = self._last
        if last is None or last[0] != file:
            part = self._parts[file]
            last = self._last = file, parquet.ParquetFile(part.path, metadata=part.metadata)
        return last[1]

    def batch(self, seed: int, step: int, count: int) -> list[Demonstration]:
        """The demonstrations of a training step."""
        return [self[place] for place in self.places(seed, step, count)]

    def places(self, seed: int, step: int, count: int) -> list[int]:
        """Which rows a training step is shown: a function of (seed, step, count) alone. Where every step,
        from 0 on, is shown as many, each is shown once before any is shown again, in an order that changes
        each time. A run begins with step 1, so that its first round lacks as many; where a mix deals steps
        other numbers, some come sooner again and some later."""
        first = step * count
        return [self._shuffled(seed, position) for position in range(first, first + count)]

    def _shuffled(self, seed: int, position: int) -> int:
        round_, place = divmod(position, len(self))
        return int(np.random.default_rng([seed, round_]).permutation(len(self))[place])


def _part(path: Path) -> _Part:
    try:
        with parquet.ParquetFile(path) as opened:
            there, metadata = set(opened.schema_arrow.names), opened.metadata
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} is no file of demonstrations ({error!s:.200}): make it again, or take it away"
        ) from None
    if missing := sorted(set(COLUMNS) - set(LATER) - there):
        raise ValueError(f"{path} lacks the columns {', '.join(missing)}; see its README.md")
    return _Part(path, metadata, [name for name in COLUMNS if name in there])


def from_row(row: dict[str, Any]) -> Demonstration:
    """ValueError or TypeError where its columns do not go together."""
    pictures = [decoded(picture["bytes"]) for picture in row["pictures"]]
    found = Demonstration(**{**row, "pictures": pictures})
    if null := [
        name for name in ("slips", "picture_of", "tool_of") if getattr(found, name) is None
    ]:
        raise ValueError(f"{', '.join(null)} null")
    if len(found.messages) != len(found.answers):
        raise ValueError(f"{len(found.messages)} messages, and {len(found.answers)} answers")
    if not all(isinstance(words, str) for words in (*found.messages, *found.answers)):
        raise ValueError("a message or an answer is null")
    pictures_in(found.picture_of, len(pictures))
    found.briefing()
    return found


def encoded(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    PILImage.fromarray(picture).save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()


def write_part(folder: Path, number: int, rows: Iterable[Demonstration]) -> Path:
    """Writes one file of rows, atomically."""
    path = part_path(folder, number)
    write_rows(path, [columns_of(row) for row in rows], features())
    return path


def write_rows(path: Path, rows: list[dict[str, Any]], columns: dict[str, Any]) -> None:
    from datasets import Dataset, Features, disable_progress_bars

    disable_progress_bars()
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as unfinished:
        Dataset.from_list(rows, features=Features(columns)).to_parquet(
            str(unfinished), batch_size=8
        )


def columns_of(row: Demonstration) -> dict[str, Any]:
    pictures = [{"bytes": encoded(picture), "path": None} for picture in row.pictures]
    return {**{name: getattr(row, name) for name in COLUMNS}, "pictures": pictures}


def features() -> dict[str, Any]:
    """Types of `COLUMNS`."""
    from datasets import Image, List, Value

    text = Value("string")
    return {
        "name": text,
        "world": text,
        "options": text,
        "seed": Value("int64"),
        "messages": List(text),
        "pictures": List(Image()),
        "picture_of": List(Value("int32")),
        "answers": List(text),
        "slips": List(Value("int32")),
        "rewards": List(Value("float64")),
        "verdicts": List(text),
        "success": Value("bool"),
        "stop": text,
        "corrupted": text,
        "system": text,
        "tools": text,
        "tool_of": List(text),
    }


def part_path(folder: Path, number: int) -> Path:
    return folder / "data" / f"part-{number:05d}.parquet"


def write_card(folder: Path, settings: dict[str, Any], counts: dict[str, Any]) -> None:
    """The README.md: what is inside, how it was made."""
    columns = "\n".join(f"| `{name}` | {words} |" for name, words in COLUMNS.items())
    text = (
        "---\nconfigs:\n- config_name: default\n  data_files: data/*.parquet\n---\n"
        "# Demonstrations\n\nWritten by `python -m amft_mm.demos` with these settings:\n\n"
        f"```json\n{json.dumps(settings, indent=2)}\n```\n\nWhat came out:\n\n"
        f"```json\n{json.dumps(counts, indent=2)}\n```\n\n| column | holds |\n|---|---|\n{columns}\n"
    )
    write_text(folder / "README.md", text)


def recorded(trajectory: Trajectory, world: World) -> Demonstration:
    """An episode that an agent played, as a row: to be kept, looked at, or imitated."""
    conversation = trajectory.conversation
    answers = [answer.text for answer in conversation.answers]
    row = Demonstration(
        name=f"{world.id}/{trajectory.seed}/{trajectory.member}",
        messages=[],
        answers=answers,
        world=world.id,
        options=json.dumps(world.options, sort_keys=True),
        seed=trajectory.seed,
        rewards=trajectory.rewards,
        verdicts=[turn.verdict or "" for turn in trajectory.turns],
        success=trajectory.success,
        stop=trajectory.stop,
    )
    row.brief(conversation.briefing)
    for message in conversation.messages[: len(answers)]:
        row.show(*message)
    return row
