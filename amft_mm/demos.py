"""`python -m amft_mm.demos env=virl n=1000` plays experts into a folder of demonstrations.

`import_from=FILE` takes JSON chats with pictures instead. The folder opens with
`datasets.load_dataset(FOLDER)`; an interrupted run goes on where it was.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before what is slow to import
    from amft_mm import commands

    sys.exit(commands.main(["demos", *sys.argv[1:]]))

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.progress import Progress

from agents.demonstrations import Demonstration, write_card, write_part
from agents.experts import BadEpisode, demonstrate, is_spoilt, spoilt
from agents.files import write_text
from agents.importers import import_chats
from agents.seeds import mixed_seed
from agents.worlds import World
from amft_mm.config.settings import world_of
from envs.guard import GuardedEnv

MOST_FAILURES = 0.5
"""Share of a part's episodes that may fail before the run is given up: the expert does not work."""


def demos(config: DictConfig) -> None:
    counts = import_demos(config) if config.import_from else make_demos(config)
    print(json.dumps(counts, indent=2))


def make_demos(config: DictConfig) -> dict[str, Any]:
    """Plays until `n` demonstrations are kept; returns what came out."""
    world = world_of(config.env)
    total, rows_each = int(config.n), int(config.part)
    folder = Path(config.out or f"demos/{config.env.name}-{total}")
    settings: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    state = State.open(folder, settings)
    env = GuardedEnv(world.make, seconds=config.seconds)
    if not hasattr(env.unwrapped, "expert"):
        raise ValueError(
            f"{world.id} has no expert(): give demonstrations from elsewhere (import_from=FILE here, "
            "demos.folder=FOLDER in training), or explore alone: method=grpo train.warmup_steps=0 demos.n=0"
        )
    play = partial(demonstrate, env, world, slips=config.slips)
    with Progress(disable=not os.isatty(1)) as progress:
        bar = progress.add_task("demonstrations", total=total, completed=state.kept)
        while state.kept < total:
            wanted = min(rows_each, total - state.kept)
            rows = list(kept_rows(config, world, play, state, wanted))
            write_part(folder, state.parts, rows)
            state.save(folder, rows)
            progress.update(bar, completed=state.kept)
    env.close()
    counts = state.report()
    write_card(folder, settings, counts)
    return counts | {"folder": str(folder)}


def kept_rows(
    config: DictConfig,
    world: World,
    play: Callable[..., Demonstration],
    state: State,
    wanted: int,
) -> Iterator[Demonstration]:
    """The next demonstrations that pass the filter; others are counted by reason."""
    kept = failed = 0
    while kept < wanted:
        number = state.tried
        state.tried += 1
        seed = mixed_seed(config.seed, number)
        try:
            if is_spoilt(config.seed, seed, config.corrupt.share):
                rng = np.random.default_rng([config.seed, seed, 8])
                row = spoilt(world, seed, config.corrupt.kind, rng, play)
            else:
                row = play(seed)
        except (BadEpisode, NotImplementedError) as error:
            failed += 1
            reason = f"failed: {str(error)[:100]}"
            state.left_out[reason] += 1
            if failed >= 20 and failed > MOST_FAILURES * (failed + kept):
                raise ValueError(f"{failed} of {failed + kept} episodes failed; {reason}") from None
            continue
        reason = filtered(row, config.keep)
        if reason:
            state.left_out[reason] += 1
            if state.left_out[reason] > 1000 and kept == 0:
                raise ValueError(f"the filter keeps nothing of a thousand episodes: {reason}")
            continue
        kept += 1
        yield row


def filtered(row: Demonstration, keep: DictConfig) -> str:
    """Why a demonstration is left out; empty if it is kept."""
    if keep.success and not row.success:
        return "no success"
    if keep.min_return is not None and sum(row.rewards) < keep.min_return:
        return f"return below {keep.min_return}"
    if keep.max_turns is not None and len(row.answers) > keep.max_turns:
        return f"more than {keep.max_turns} turns"
    return ""


class State:
    """Where a run of this command is: written after every part, read when it goes on."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.parts = self.kept = self.tried = 0
        self.left_out: Counter[str] = Counter()
        self.corrupted: Counter[str] = Counter()
        self.turns = 0

    @classmethod
    def open(cls, folder: Path, settings: dict[str, Any]) -> State:
        """`n` may grow from run to run; everything else has to be as it was."""
        state, path = cls(settings), folder / "progress.json"
        if not path.exists():
            if any(folder.glob("data/*.parquet")):
                raise FileExistsError(f"{folder} holds other data: choose another folder by out=")
            return state
        saved = json.loads(path.read_text(encoding="utf-8"))
        changed = [
            key
            for key in settings
            if key not in ("n", "out") and saved["settings"].get(key) != settings[key]
        ]
        if changed:
            raise FileExistsError(
                f"{folder} was begun with other settings ({', '.join(changed)} differ): choose "
                "another folder by out=, or delete it"
            )
        for name in ("parts", "kept", "tried", "turns"):
            setattr(state, name, saved[name])
        state.left_out.update(saved["left_out"])
        state.corrupted.update(saved["corrupted"])
        return state

    def save(self, folder: Path, rows: list[Demonstration]) -> None:
        self.parts += 1
        self.kept += len(rows)
        self.turns += sum(len(row.answers) for row in rows)
        self.corrupted.update(row.corrupted for row in rows if row.corrupted)
        saved = {**self.report(), "parts": self.parts, "settings": self.settings}
        write_text(folder / "progress.json", json.dumps(saved, indent=2))

    def report(self) -> dict[str, Any]:
        return {
            "kept": self.kept,
            "turns": self.turns,
            "tried": self.tried,
            "left_out": dict(self.left_out),
            "corrupted": dict(self.corrupted),
        }


def import_demos(config: DictConfig) -> dict[str, Any]:
    """Reads chats from a file; every row that could not be taken is told by number and reason."""
    source = Path(config.import_from)
    folder = Path(config.out or f"demos/{source.stem}")
    if any(folder.glob("data/*.parquet")):
        raise FileExistsError(f"{folder} holds demonstrations already: choose another by out=")
    report = import_chats(source, pictures=Path(config.pictures) if config.pictures else None)
    part: list[Demonstration] = []
    parts = kept = 0
    for row in report.rows():
        part.append(row)
        kept += 1
        if len(part) == config.part:
            write_part(folder, parts, part)
            parts, part = parts + 1, []
    if part:
        write_part(folder, parts, part)
    counts = {"kept": kept, "left_out": dict(report.reasons)}
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "left_out.jsonl", "w", encoding="utf-8") as lines:
        for number, reason in report.left_out:
            print(json.dumps({"row": number, "reason": reason}), file=lines)
    if kept == 0:
        raise ValueError(
            f"no row of {source} could be taken: {dict(report.reasons)}; {folder}/left_out.jsonl "
            "names each"
        )
    write_card(folder, {"import_from": str(source.name)}, counts)
    return counts | {"folder": str(folder), "left_out_rows": str(folder / "left_out.jsonl")}
