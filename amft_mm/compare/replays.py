"""Episodes to look at beside a report: `replays/ENV-CONDITION.html`, of each method a success, a failure, and
an instance that it solves and a baseline does not, or the other way round.

    write_replays(results, baselines, root, folder)  the pages, made anew where runs have kept episodes
    replays_in(results, folder)                      those that are there, by environment, condition, method

A run of `replay=true` leaves in its folder what it played at its end on the first split, all of it, since a
method that comes later may be apart from it anywhere. A page holds what was chosen, so that it can be
published without them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from agents.files import whole_file
from amft_mm.compare.result import UNREADABLE, Result
from amft_mm.compare.selecting import Setting, file_name, settings_of
from amft_mm.runs.metrics import read_rows

FOLDER = "replays"
LAST = "last-evaluation.parquet"
"""What a run keeps."""
INDEX = re.compile(r"<script type='application/json' id='index'>(.*)</script>")
"""The line of a page that names what it is of."""


@dataclass(frozen=True)
class Kept:
    """Of a run."""

    result: Result
    folder: Path
    source: Any
    """amft_mm.replay.reader.Source, which is slow to import."""

    @property
    def by_instance(self) -> dict[str, dict[str, Any]]:
        return {episode["instance"]: episode for episode in self.source.episodes}


def keep_last(folder: Path, split: str) -> None:
    """Of the episodes in a run's folder those of its last evaluation, on a split."""
    own = sorted((folder / "episodes").glob(f"*-evaluation-{split.replace('/', '-')}.parquet"))
    for path in own[-1:]:
        path.replace(path.with_name(LAST))
    for path in (folder / "episodes").glob("*"):
        if path.name != LAST:
            path.unlink()


def page_name(setting: Setting) -> str:
    return f"{file_name(*setting)}.html"


def replays_in(results: Sequence[Result], folder: Path) -> dict[tuple[str, str, str], str]:
    """As links from beside the folder, for the methods that a page holds episodes of."""
    return {
        (*setting, method): f"{FOLDER}/{page_name(setting)}"
        for setting in settings_of(results)
        for method in _methods_in(folder / FOLDER / page_name(setting))
    }


def _methods_in(page: Path) -> list[str]:
    """None where there is no page, or it does not say."""
    if not page.is_file():
        return []
    with page.open(encoding="utf-8", errors="replace") as lines:
        found = next(filter(None, map(INDEX.match, lines)), None)
    try:
        return [str(one["name"]) for one in json.loads(found[1])["sources"]] if found else []
    except (*UNREADABLE, RecursionError):
        return []


def write_replays(
    results: Sequence[Result], baselines: Sequence[str], runs: Path, folder: Path
) -> None:
    from amft_mm.replay.page import parts

    for setting in settings_of(results):
        own = [r for r in results if (r.env, r.condition) == setting and r.state == "finished"]
        kept = {k.result.method: k for r in own if (k := _kept(r, runs / r.name))}
        if kept:
            path = folder / FOLDER / page_name(setting)
            path.parent.mkdir(parents=True, exist_ok=True)
            with (
                whole_file(path) as unfinished,
                unfinished.open("w", encoding="utf-8", errors="replace") as file,
            ):
                file.writelines(parts(_chosen(kept, baselines)))


def _kept(result: Result, folder: Path) -> Kept | None:
    """None where nothing was kept, or it cannot be read: a report is made without."""
    from amft_mm.replay.reader import read_source

    path = folder / "episodes" / LAST
    try:
        return Kept(result, folder, read_source(path)) if path.is_file() else None
    except (ValueError, OSError):
        return None


def _chosen(kept: dict[str, Kept], baselines: Sequence[str]) -> list[Any]:
    """A source for each method, of the episodes that are shown of it."""
    baseline = next((b for b in baselines if b in kept), None)
    shown = {method: _of_itself(k) for method, k in kept.items()}
    if baseline is not None:
        found = _apart(kept, baseline)
        for instance in set(found.values()):
            shown[baseline].setdefault(instance, []).append("where others are apart")
        for method, instance in found.items():
            shown[method].setdefault(instance, []).append(f"apart from {baseline}")
    return [_source(method, kept[method], why) for method, why in shown.items()]


def _of_itself(kept: Kept) -> dict[str, list[str]]:
    """The instances of the first success and the first failure, with why they are shown."""
    found: dict[str, list[str]] = {}
    for why, success in (("a success", True), ("a failure", False)):
        own = (e["instance"] for e in kept.source.episodes if e["success"] == success)
        found |= {instance: [why] for instance in islice(own, 1)}
    return found


def _apart(kept: dict[str, Kept], baseline: str) -> dict[str, str]:
    """For each method an instance on which it and the baseline differ; those that many differ on first, so
    that the baseline has few to show."""
    theirs = kept[baseline].by_instance
    differing = {
        method: [
            instance
            for instance, episode in k.by_instance.items()
            if instance in theirs and episode["success"] != theirs[instance]["success"]
        ]
        for method, k in kept.items()
    }
    often = Counter(instance for instances in differing.values() for instance in instances)
    return {m: max(found, key=lambda i: often[i]) for m, found in differing.items() if found}


def _source(method: str, kept: Kept, why: dict[str, list[str]]) -> Any:
    found = [
        {**episode, "label": ", ".join([episode["label"], *why[episode["instance"]]])}
        for episode in kept.source.episodes
        if episode["instance"] in why
    ]
    wanted = {key for e in found for turn in e["turns"] for key in turn["pictures"]}
    pictures = {key: data for key, data in kept.source.pictures.items() if key in wanted}
    about = {"metrics": read_rows(kept.folder), "path": kept.folder, "chosen": True}
    return replace(kept.source, name=method, episodes=found, pictures=pictures, **about)
