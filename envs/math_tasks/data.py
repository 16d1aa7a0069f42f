"""Questions from data sets: files of json, jsonl, csv or parquet, folders of them, or the hub.

`data_source(path, split, columns)` reads a file or a folder as it is; `hf:owner/name` asks for a
data set of the hub by name (`hf:owner/name:configuration` where it has several). Which column is
the question, the answer, the expert's solution is said by `Columns`; a dot reaches into a column
(`reward_model.ground_truth`), and a column of chat messages gives its last message.

Splits: where files, their folders inside the given one, or the hub name them (train, test_sft,
validation ...), `train` is theirs and `id` all others; else a question's words decide, nine in ten
for training. The name nearest to the rows counts: test/train.jsonl is of training. A question that
also occurs in training is left out of `id`. `all` is everything. A row whose question or answer is
null, NaN, empty, no text or has half a character, or whose answer nobody could give, is left out, and a
warning says how many were.
"""

from __future__ import annotations

import csv
import json
import logging
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from envs.contract import one_of
from envs.math_tasks.grading import can_be_told
from envs.math_tasks.problems import DATA_SPLITS, Problem
from envs.read_once import read_once

log = logging.getLogger(__name__)
HUB = "hf:"
SUFFIXES = (".json", ".jsonl", ".csv", ".parquet")
TRAINING_SHARE = 0.9
_PART = re.compile(
    r"(?<![a-z])(?:(train(?:ing)?)|test(?:ing)?|valid(?:ation)?|val|dev|eval(?:uation)?)(?![a-z])",
    re.IGNORECASE,
)
"""A part as a word of its own: contest_train is of training, latest and retrieval are of no part."""


class DataError(ValueError):
    """A data set that cannot be used as asked; says where and why."""


class RowError(DataError):
    """A row that cannot be used, where the others may be: it is left out."""


@dataclass(frozen=True)
class Columns:
    """Names of columns; case does not matter. a missing `solution` is "" unless it is required."""

    question: str
    answer: str
    solution: str | None = None
    solution_required: bool = False


PRESETS = {
    "openr1_math_46k": Columns("prompt", "reward_model.ground_truth", "target"),
    "gsm8k": Columns("question", "answer", "answer"),  # "steps #### answer" in one column
    "math_500": Columns("problem", "answer", "solution"),
    "aime": Columns("problem", "answer", "solution"),
}
DEFAULT_COLUMNS = Columns("question", "answer", "solution")


@dataclass(frozen=True)
class Row:
    """A row of a data set, and where it stands, for errors."""

    fields: dict[str, Any]
    where: str
    part: str | None = None


class DataSource:
    """The problems of one split. See `Source` for the contract."""

    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems

    def __len__(self) -> int:
        return len(self._problems)

    def problem(self, index: int) -> Problem:
        return self._problems[index]

    def draw(self, rng: np.random.Generator) -> int:
        return int(rng.integers(len(self)))


def data_source(path: str, split: str, columns: Columns) -> DataSource:
    """The problems of a file, a folder or a hub data set. All environments of a process share what they read;
    files that are others than they were are read anew."""
    one_of("split", split, DATA_SPLITS)
    hub = path.startswith(HUB)
    source = (_of_hub(path, columns) if hub else _of_files(Path(path), columns))[split]
    if not len(source):
        raise DataError(
            f"{path} has no question for split={split!r}: use split='all' or more data."
        )
    return source


@lru_cache(maxsize=4)
def _of_hub(path: str, columns: Columns) -> dict[str, DataSource]:
    return _by_split(path, _hub_rows(path), columns)


def _read_files(path: Path, columns: Columns) -> dict[str, DataSource]:
    return _by_split(str(path), _local_rows(path), columns)


def _files(path: Path) -> list[Path]:
    """That are read, or tell of a `datasets` folder that it was written anew."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)


_of_files = read_once(_read_files, _files, most=4)


def _by_split(path: str, rows: Iterable[Row], columns: Columns) -> dict[str, DataSource]:
    training, evaluation = _problems(path, rows, columns)
    known = {problem.zone for problem in training}
    found = {
        "train": training,
        "id": [problem for problem in evaluation if problem.zone not in known],
        "all": training + evaluation,
    }
    return {split: DataSource(problems) for split, problems in found.items()}


def _problems(
    path: str, rows: Iterable[Row], columns: Columns
) -> tuple[list[Problem], list[Problem]]:
    """Those to train on and those to evaluate on."""
    training: list[Problem] = []
    evaluation: list[Problem] = []
    left_out: list[str] = []
    for row in rows:
        try:
            problem = _to_problem(row, columns)
        except RowError as error:
            left_out.append(str(error))
            continue
        if row.part is None:
            trains = problem.zone < TRAINING_SHARE
        else:
            trains = row.part == "train"
        (training if trains else evaluation).append(problem)
    if not training and not evaluation:
        if left_out:
            raise DataError(f"{path}: none of its {len(left_out)} rows can be used. {left_out[0]}")
        raise DataError(f"{path} is empty: expected at least one row.")
    if left_out:
        count = len(training) + len(evaluation) + len(left_out)
        log.warning("%s: %d of %d rows are left out. %s", path, len(left_out), count, left_out[0])
    return training, evaluation


def _to_problem(row: Row, columns: Columns) -> Problem:
    question = _text(row, "question", columns.question)
    answer = _text(row, "answer", columns.answer)
    solution = ""
    if columns.solution is not None:
        required = columns.solution_required
        solution = _text(row, "solution", columns.solution, required=required)
    if "####" in answer:
        answer = answer.rsplit("####", 1)[1]
    solution = re.sub(r"<<[^<>]{0,200}>>", "", solution).rsplit("####", 1)[0]
    if not question.strip() or not answer.strip():
        empty = "answer" if question.strip() else "question"
        name = columns.answer if empty == "answer" else columns.question
        raise RowError(f"{row.where}: the {empty} (column {name!r}) is empty.")
    if not can_be_told(answer):
        raise RowError(
            f"{row.where}: the answer (column {columns.answer!r}) cannot be told: it is too long, opens a "
            f"brace that it does not close, or says nothing: {answer!r:.80}"
        )
    return Problem(question.strip(), answer.strip(), solution.strip())


def _text(row: Row, role: str, column: str, *, required: bool = True) -> str:
    value: Any = row.fields
    for name in column.split("."):
        matches = (
            [key for key in value if str(key).casefold() == name.casefold()]
            if isinstance(value, dict)
            else []
        )
        if not matches:
            if required:
                raise DataError(_missing(row, role, column))
            return ""
        value = value[matches[0]]
    value = _last_message(value)
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        if required:
            raise RowError(f"{row.where}: the {role} (column {column!r}) is null or no number.")
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RowError(
            f"{row.where}: the {role} (column {column!r}) is a {type(value).__name__}, "
            f"expected a text or a number: {value!r:.80}"
        )
    try:
        str(value).encode("utf-8")
    except UnicodeEncodeError:  # which no world may show
        raise RowError(
            f"{row.where}: the {role} (column {column!r}) has half a character: {value!r:.80}"
        ) from None
    return str(value)


def _last_message(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list) and value and isinstance(value[-1], dict) and "content" in value[-1]:
        return value[-1]["content"]
    return value


def _missing(row: Row, role: str, column: str) -> str:
    fitting = [name for name, preset in PRESETS.items() if _has(row, preset)]
    hint = f" preset={fitting[0]!r} would fit." if fitting else ""
    return (
        f"{row.where}: there is no column {column!r} for the {role}; the columns are "
        f"{', '.join(map(repr, row.fields))}. Name it with {role}=..., or use a preset "
        f"({', '.join(PRESETS)}).{hint}"
    )


def _has(row: Row, columns: Columns) -> bool:
    names = {str(name).casefold() for name in row.fields}
    return {c.split(".")[0] for c in (columns.question, columns.answer)} <= names


# Where rows come from.


def _local_rows(path: Path) -> Iterator[Row]:
    if path.is_file():
        yield from _file_rows(path, None)
        return
    if not path.is_dir():
        raise DataError(f"source={str(path)!r} does not exist: expected a file or a folder.")
    if any((path / name).exists() for name in ("dataset_info.json", "dataset_dict.json")):
        import datasets

        try:
            loaded = datasets.load_from_disk(str(path))
        except Exception as error:  # Arrow's and JSON's among them
            raise DataError(f"{path} cannot be read as a saved data set: {error}") from error
        yield from _dataset_rows(loaded, str(path))
        return
    files = _files(path)
    if not files:
        raise DataError(f"{path} holds no file of {', '.join(SUFFIXES)}.")
    parts = {file: _part_of_file(file.relative_to(path)) for file in files}
    if set(parts.values()) == {None}:
        yield from (row for file in files for row in _file_rows(file, None))
        return
    for file, part in parts.items():
        yield from _file_rows(file, part or "train")


def _part_of_file(file: Path) -> str | None:
    """By its own name, or by that of the nearest folder that says one."""
    folders = reversed(file.parent.parts)
    return next(filter(None, map(_part_of, (file.stem, *folders))), None)


def _part_of(name: str) -> str | None:
    match = _PART.search(name)
    if match is None:
        return None
    return "train" if match[1] else match[0].lower()


def _file_rows(path: Path, part: str | None) -> Iterator[Row]:
    readers = {
        ".json": _json_rows,
        ".jsonl": _json_lines,
        ".csv": _csv_rows,
        ".parquet": _parquet_rows,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path} is not of a known kind: expected one of {', '.join(SUFFIXES)}.")
    try:
        for number, fields in enumerate(reader(path), 1):
            where = f"{path}, row {number}"
            if not isinstance(fields, dict):
                kind = type(fields).__name__
                raise DataError(f"{where}: expected an object with named fields, found {kind}.")
            yield Row(fields, where, part)
    except DataError:
        raise
    except (OSError, ValueError, csv.Error) as error:  # a number of too many digits, say
        raise DataError(f"{path} cannot be read: {error}") from error


def _json_rows(path: Path) -> Iterator[Any]:
    """A list of rows, or an object with one such list; else what is really lines of JSON."""
    try:
        whole = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError:
        yield from _json_lines(path)
        return
    except RecursionError:
        raise DataError(f"{path}: not valid JSON: it is nested too deep") from None
    if isinstance(whole, dict):
        lists = [value for value in whole.values() if isinstance(value, list)]
        whole = lists[0] if len(lists) == 1 else [whole]
    yield from whole if isinstance(whole, list) else [whole]


def _json_lines(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {number}: not valid JSON: {error}") from error


def _csv_rows(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def _parquet_rows(path: Path) -> Iterator[Any]:
    import pyarrow
    import pyarrow.parquet

    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise DataError(f"{path} cannot be read as parquet: {error}") from error


def _hub_rows(path: str) -> Iterator[Row]:
    import datasets

    name, _, configuration = path.removeprefix(HUB).partition(":")
    try:
        loaded = datasets.load_dataset(name, configuration or None)
    except Exception as error:
        raise DataError(f"source={path!r} cannot be loaded from the hub: {error}") from error
    yield from _dataset_rows(loaded, path)


def _dataset_rows(loaded: Any, name: str) -> Iterator[Row]:
    """The rows of a `datasets.Dataset`, or of a dict of them by part."""
    parts = loaded if isinstance(loaded, dict) else {None: loaded}
    named = _parts_named(list(parts))
    for part, rows in parts.items():
        for number, fields in enumerate(rows, 1):
            where = f"{name}, row {number}" + (f" of {part}" if part else "")
            yield Row(fields, where, named[part])


def _parts_named(names: list[str | None]) -> dict[str | None, str | None]:
    """The part that each of a data set's own names stands for; None where they tell nothing of splits: a
    single one, and such as algebra and geometry."""
    if len(names) == 1:
        return {names[0]: None}
    found = {name: _part_of(name or "") for name in names}
    if not any(found.values()):
        return found
    return {name: part or name for name, part in found.items()}
