"""What a run came to, as one small JSON file beside its folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agents.files import write_text
from amft_mm.compare.grid import UNLEARNT, Run
from amft_mm.runs.folder import TRIES
from amft_mm.runs.metrics import EVALUATION, plain_json, read_rows, weights_of

Points = list[tuple[int, float]]
Tries = dict[str, list[tuple[int, int] | None]]
"""By split, of each task instance how many tries there were and how many succeeded; None where all failed."""
STEPS = "steps"
"""Of the mixing phase, in the totals; each makes one optimizer step or several."""
SPENT = ("demonstration tokens", "generated tokens", "optimizer steps")
TOKENS, SECONDS, ELSEWHERE = "tokens spent", "seconds spent", "success on "
"""Names of curves; the last goes before a split's name."""
MOST_TRIES = 100_000
"""Of a task instance."""
TEXTS = ("env", "condition", "method", "state", "why", "begun")
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError)
"""What `result_from` raises of JSON that is no result."""


@dataclass(frozen=True)
class Score:
    """Of a split."""

    success: float
    episodes: int
    each: list[float | None] = field(default_factory=list)
    """How each task instance fared; empty where that is not known."""
    flawless: float | None = None
    """Of the episodes that succeeded without an answer that cost something."""


@dataclass(frozen=True)
class Result:
    env: str
    condition: str
    method: str
    seed: int
    settings: list[str]
    choice: dict[str, Any]
    state: str
    """finished or crashed."""
    why: str = ""
    """How a crash ended."""
    seconds: float = 0.0
    scores: dict[str, Score] = field(default_factory=dict)
    """By split."""
    curves: dict[str, Points] = field(default_factory=dict)
    """By step: success on the first split, and on others that were evaluated on the way (`eval.splits`); mu,
    entropy; what had been spent when it was evaluated."""
    totals: dict[str, float] = field(default_factory=dict)
    """Demonstration tokens, generated tokens, optimizer steps of the mixing phase."""
    begun: str = ""
    """A fingerprint of the warm-up; empty where it is not known, or for a warm-up itself."""
    tries: Tries = field(default_factory=dict)
    """Sampled, of the first instances of each split; empty where none were played."""

    @property
    def name(self) -> str:
        return f"{self.env}/{self.condition}/{self.method}/{self.seed}"

    @property
    def first(self) -> Score:
        """On the first split, which is in distribution."""
        return next(iter(self.scores.values()))

    def as_text(self) -> str:
        if self.state != "finished":
            return (
                f"crashed ({self.why.strip().splitlines()[-1][:200] if self.why.strip() else '?'})"
            )
        shares = "  ".join(f"{name} {score.success:.1%}" for name, score in self.scores.items())
        return f"{shares}  ({self.seconds:.0f} s)"


def path_of(run: Run) -> Path:
    return run.folder.with_name(f"{run.folder.name}.json")


def is_made(run: Run) -> bool:
    """Whether it has finished, with whatever settings."""
    found = _read(run)
    return found is not None and found.state == "finished"


def read_result(run: Run) -> Result | None:
    """That of a run that has finished with these settings; None says: to be made."""
    found = _read(run)
    if found is None or found.state != "finished":
        return None
    if not _same(found, run):
        raise FileExistsError(
            f"{path_of(run)} was made with other settings: choose another folder by out=FOLDER, or delete it"
        )
    return found


def read_crash(run: Run) -> Result | None:
    """That of a run that crashed with these settings."""
    found = _read(run)
    return found if found and found.state != "finished" and _same(found, run) else None


def _same(found: Result, run: Run) -> bool:
    """Whether it learnt by these settings, in whatever folder the comparison lay then."""
    then, now = (
        {_wherever(word) for word in words if not word.startswith(UNLEARNT)}
        for words in (found.settings, run.settings)
    )
    return then == now


def _wherever(word: str) -> str:
    """A setting that names the comparison's own warm-up, without the way there."""
    own = re.search(r"\bwarm/[^/']+(/demos)?(?='?$)", word)
    return f"{word.partition('=')[0]}={own[0]}" if own else word


def _read(run: Run) -> Result | None:
    path = path_of(run)
    if not path.is_file():
        return None
    try:
        return result_from(plain_json(path.read_text(encoding="utf-8")))
    except UNREADABLE as error:
        raise ValueError(
            f"{path} is to say what a run came to, as compare writes it, and cannot be read "
            f"({type(error).__name__}: {error!s:.200}): delete it, and the run is made anew"
        ) from None


def write_result(run: Run, result: Result) -> None:
    write_text(path_of(run), json.dumps(asdict(result)))


def result_from(plain: dict[str, Any]) -> Result:
    scores = {name: Score(**score) for name, score in plain["scores"].items()}
    curves = {name: [(s, v) for s, v in points] for name, points in plain["curves"].items()}
    tries = _tries(plain.get("tries", {}))  # which files of before do not have
    result = Result(**{**plain, "scores": scores, "curves": curves, "tries": tries})
    if problem := _problem(result):
        raise ValueError(problem)
    return result


def _problem(result: Result) -> str:
    """It must say by what it was made, and how it ended, in numbers that a report can count with."""
    words = result.settings
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return "its settings are no list of words"
    points = [point for each in result.curves.values() for point in each]
    right = {
        **{name: isinstance(getattr(result, name), str) for name in TEXTS},
        "seed": isinstance(result.seed, int),
        "choice": isinstance(result.choice, dict),
        "seconds": _are_numbers([result.seconds]),
        "scores": all(map(_is_score, result.scores.values())),
        "curves": all(result.curves.values()) and all(map(_are_numbers, points)),
        "totals": _are_numbers(result.totals.values()),
        "tries": all(map(_is_tried, (one for each in result.tries.values() for one in each))),
    }
    if wrong := [name for name, whole in right.items() if not whole]:
        return f"its {', '.join(wrong)} cannot be read"
    if result.state != "finished":
        return ""
    if not result.scores:
        return "it has finished and says no success of a split"
    lacking = [name for name in SPENT if name not in result.totals]
    return f"it does not say its {', '.join(lacking)}" if lacking else ""


def _is_score(score: Score) -> bool:
    known = [one for one in (*score.each, score.flawless) if one is not None]
    shares = [score.success, *known]
    return (
        isinstance(score.episodes, int)
        and score.episodes > 0
        and _are_numbers(shares)
        and all(0 <= share <= 1 for share in shares)
    )


def _is_tried(one: tuple[int, int] | None) -> bool:
    return one is None or (
        all(isinstance(count, int) for count in one) and 0 <= one[1] <= one[0] <= MOST_TRIES
    )


def _are_numbers(values: Iterable[Any]) -> bool:
    return all(isinstance(value, int | float) for value in values)


def _tries(plain: dict[str, Any]) -> Tries:
    return {
        split: [(one[0], one[1]) if one else None for one in each] for split, each in plain.items()
    }


def crashed(run: Run, why: str, seconds: float) -> Result:
    return Result(**_named(run), state="crashed", why=why, seconds=seconds)


def result_of(run: Run, seconds: float) -> Result:
    """From the folder of a run that has ended well."""
    rows = read_rows(run.folder)
    summary = json.loads((run.folder / "summary.json").read_text(encoding="utf-8"))
    splits, episodes = summary["splits"], summary["episodes"]
    if lost := [s for s in splits if summary[f"eval/{s}/success"] is None]:
        return crashed(run, f"every episode of {', '.join(lost)} crashed", seconds)
    each = json.loads((run.folder / "instances.json").read_text(encoding="utf-8"))
    scores = {
        s: Score(summary[f"eval/{s}/success"], episodes, each[s], summary.get(f"eval/{s}/flawless"))
        for s in splits
    }
    mixed = [row for row in rows if row["phase"] == "mix"]
    # The best weights' figures are of an earlier step; other splits have no others, perhaps.
    as_it_went = [row for row in rows if weights_of(row) == row["step"]]
    curves = {
        "success": _points(as_it_went, f"eval/{splits[0]}/success"),
        **{ELSEWHERE + s: _points(rows, f"eval/{s}/success") for s in splits[1:]},
        "mu": _points(mixed, "mu"),
        "entropy": _points(mixed, "policy/entropy"),
        "rollout": _points(mixed, "rollout/success"),
        **_spent(as_it_went),
    }
    totals = {
        "demonstration tokens": sum(row.get("tokens/demo", 0) for row in mixed),
        "generated tokens": sum(row.get("tokens/generated", 0) for row in mixed),
        STEPS: len(mixed),
        "optimizer steps": sum(row.get("updates", 1) for row in mixed),
        "seconds of steps": sum(row["time/step"] for row in mixed),
    }
    tries = run.folder / TRIES
    return Result(
        **_named(run),
        state="finished",
        tries=_tries(json.loads(tries.read_text(encoding="utf-8"))) if tries.is_file() else {},
        seconds=seconds,
        scores=scores,
        curves={name: points for name, points in curves.items() if points},
        totals=totals,
        begun=fingerprint(before) if run.warm and (before := _read(run.warm)) else "",
    )


def fingerprint(warmup: Result) -> str:
    """Of how each task instance fared: kinds of machines differ in the last bits of a sum, and after
    hundreds of steps in what is solved."""
    each = {split: score.each for split, score in warmup.scores.items()}
    return hashlib.sha256(json.dumps(each).encode()).hexdigest()[:16]


def _named(run: Run) -> dict[str, Any]:
    return {
        "env": run.env,
        "condition": run.condition,
        "method": run.method,
        "seed": run.seed,
        "settings": list(run.settings),
        "choice": run.choice,
    }


def _spent(rows: list[dict[str, Any]]) -> dict[str, Points]:
    """What the mixing phase had taken when it was evaluated: tokens imitated and generated, seconds."""
    tokens, seconds, found = 0, 0.0, dict[str, Points]()
    for row in rows:
        if row["phase"] == "mix":
            tokens += row.get("tokens/demo", 0) + row.get("tokens/generated", 0)
            seconds += row["time/step"]
        elif row["phase"] == EVALUATION:
            found.setdefault(TOKENS, []).append((row["step"], tokens))
            found.setdefault(SECONDS, []).append((row["step"], round(seconds, 3)))
    return found


def _points(rows: list[dict[str, Any]], key: str) -> Points:
    return [(row["step"], row[key]) for row in rows if row.get(key) is not None]
