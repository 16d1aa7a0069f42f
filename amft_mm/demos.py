"""`python -m amft_mm.demos env=virl` plays experts into a folder of demonstrations.

They are those that a training run of the same words records: the recipe's. With `engine=openai
engine.model=NAME` (or `hf`, `vllm`) a model plays, and what succeeds is kept.
The folder opens with `datasets.load_dataset(FOLDER)`; an interrupted run goes on where it was.
`import_from=FILE` takes JSON chats with pictures instead, all or the first `n`, into a folder without any:
what was interrupted there is to be deleted, and begun anew.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before what is slow to import
    from amft_mm import commands

    sys.exit(commands.main(["demos", *sys.argv[1:]]))

import json
import os
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.progress import Progress

from agents.demonstrations import Demonstration, write_card, write_part
from agents.experts import BadEpisode, demonstrate, is_spoilt, spoilt
from agents.files import reason_of, write_text
from agents.importers import import_chats
from agents.importers.pictures import MOST_PIXELS
from agents.seeds import demonstration_seed
from agents.worlds import World
from amft_mm.config.settings import parts_of, world_of
from amft_mm.runs.hub import Hub
from envs.guard import GuardedEnv

NOT_OF_WHAT_IS_MADE = ("out", "push_to_hub", "hub_private", "threads", "debug", "seconds")
"""Settings that may differ when it goes on, and are not told in what others may read."""
MOST_FAILURES = 0.5
"""Share of a part's episodes that may fail before the run is given up: the expert does not work."""

MOST_IN_VAIN = 500
"""Episodes of a part of which nothing is kept before the command is given up."""

WITHOUT_EXPERT = (
    "let a model play (amft-mm demos engine=openai), give demonstrations from elsewhere (import_from=FILE "
    "here, demos.folder=FOLDER in training), or explore alone: method=grpo train.warmup_steps=0 demos.n=0"
)
WITHOUT_MISTAKES = "leave out slips, and what is to be corrupt"

SLIPS_IN_VAIN = 10
"""Episodes of a part that a slip has lost, where none with one is kept, before the same."""


def demos(config: DictConfig) -> None:
    if "parts" in config.env:
        names = " and ".join(f"env={name} out=FOLDER/{name}" for name in config.env.parts)
        raise ValueError(
            f"env={config.env.name}: demonstrations are of one environment. Make those of each by itself, as "
            f"{names}; env={config.env.name} demos.folder=FOLDER then trains on them"
        )
    hub = None
    if config.push_to_hub is not None:
        hub = Hub(config.push_to_hub, private=config.hub_private, kind="dataset")
        hub.open()
    counts = import_demos(config) if config.import_from else make_demos(config)
    print(json.dumps(counts, indent=2))
    if hub is not None:
        print(f"pushed to {hub.push(Path(counts['folder']))}")


def make_demos(config: DictConfig) -> dict[str, Any]:
    """Plays until `n` demonstrations are kept; returns what came out."""
    world = world_of(config.env)
    total, rows_each = int(config.n), int(config.part)
    folder = Path(config.out or f"demos/{config.env.name}-{total}")
    settings: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    settings = {key: value for key, value in settings.items() if key not in NOT_OF_WHAT_IS_MADE}
    state = State.open(folder, settings)
    with (
        closing(_rows(config, world, state.tried)) as rows,
        Progress(disable=not os.isatty(1)) as progress,
    ):
        bar = progress.add_task("demonstrations", total=total, completed=state.kept)
        while state.kept < total:
            wanted = min(rows_each, total - state.kept)
            kept = list(kept_rows(config, rows, state, wanted))
            if not state.parts:  # so that a first part without its progress is known for one's own
                state.write(folder)
            write_part(folder, state.parts, kept)
            state.save(folder, kept)
            progress.update(bar, completed=state.kept)
    counts = state.report()
    write_card(folder, settings, counts)
    return counts | {"folder": str(folder)}


def record_demonstrations(config: DictConfig) -> None:
    """The expert's episodes that a training run imitates, inside its own folder."""
    for part in parts_of(config.env):
        own = {
            "env": part.env,
            "n": config.demos.n,
            "seed": config.demos.seed,
            "out": f"{config.demos.folder}/{part.name}",
            "part": 64,
            "seconds": config.play.seconds,
            "keep": {"success": True, "min_return": None, "max_turns": None},
            "slips": config.demos.slips,
            "corrupt": config.demos.corrupt,
            "import_from": None,
            "engine": None,
        }
        make_demos(OmegaConf.create(own))


def _rows(
    config: DictConfig, world: World, first: int
) -> Generator[Demonstration | BadEpisode, None, None]:
    """The episodes of the expert, or of the model that plays in its place; without end."""
    if config.engine is None:
        yield from experts_rows(config, world, first)
    else:
        from amft_mm.data.played import played

        yield from played(config, world, first)


def experts_rows(
    config: DictConfig, world: World, first: int
) -> Iterator[Demonstration | BadEpisode]:
    with closing(GuardedEnv(world.make, seconds=config.seconds)) as env:
        if not hasattr(env.unwrapped, "expert"):
            raise ValueError(f"{world.id} has no expert(): {WITHOUT_EXPERT}")
        play = partial(demonstrate, env, world, slips=config.slips)
        for number in count(first):
            seed = demonstration_seed(config.seed, number)
            try:
                if is_spoilt(config.seed, seed, config.corrupt.share):
                    rng = np.random.default_rng([config.seed, seed, 8])
                    yield spoilt(world, seed, config.corrupt.kind, rng, play)
                else:
                    yield play(seed)
            except BadEpisode as error:
                yield error
            except NotImplementedError as error:  # as it is for every other episode
                instead = WITHOUT_MISTAKES if "mistake" in str(error) else WITHOUT_EXPERT
                raise ValueError(f"{world.id}: {error}: {instead}") from None


def kept_rows(
    config: DictConfig,
    rows: Iterator[Demonstration | BadEpisode],
    state: State,
    wanted: int,
) -> Iterator[Demonstration]:
    """The next demonstrations that pass the filter; others are counted by reason."""
    kept = failed = tried = 0  # of this part: what was left out of others says nothing of it
    mended = lost = 0
    while kept < wanted:
        row = next(rows)
        state.tried += 1
        tried += 1
        if isinstance(row, BadEpisode):
            failed += 1
            state.left_out[f"failed: {str(row)[:100]}"] += 1
            if failed >= 20 and failed > MOST_FAILURES * tried:
                raise ValueError(
                    f"{failed} of {tried} episodes failed, the last by {str(row)[:300]}. In a world of your "
                    "own `amft-mm play WORLD --expert` shows where"
                )
            continue
        reason = filtered(row, config.keep)
        if reason:
            state.left_out[reason] += 1
            lost += bool(row.slips) and not row.success
            if lost >= SLIPS_IN_VAIN and not mended:
                raise ValueError(
                    f"slips: {lost} episodes with a mistake failed and none mended it, so all would be left "
                    "out. Let the world take a second answer, as env.attempts=2, or slips=0"
                )
            if kept == 0 and tried >= MOST_IN_VAIN:
                raise ValueError(f"the filter keeps nothing of {tried} episodes: {reason}")
            continue
        kept += 1
        mended += bool(row.slips)
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
    """Where a run of this command is: written before the first part and after each, read when it goes on."""

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
        try:
            before = state._put(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{path} cannot be read ({reason_of(error)}): delete {folder} to begin anew, or choose "
                "another folder by out="
            ) from None
        changed = [key for key in settings if key != "n" and before.get(key) != settings[key]]
        if changed and state.parts:
            raise FileExistsError(
                f"{folder} was begun with other settings ({', '.join(changed)} differ): choose "
                "another folder by out=, or delete it"
            )
        if state.kept > settings["n"]:
            raise FileExistsError(
                f"{folder} holds {state.kept} demonstrations already, more than n={settings['n']}: choose "
                "another folder by out="
            )
        return state if state.parts else cls(settings)

    def _put(self, saved: dict[str, Any]) -> dict[str, Any]:
        """What was saved; the settings that it is of."""
        self.parts, self.kept, self.tried, self.turns = (
            int(saved[name]) for name in ("parts", "kept", "tried", "turns")
        )
        self.left_out.update(saved["left_out"])
        self.corrupted.update(saved["corrupted"])
        return dict(saved["settings"])

    def save(self, folder: Path, rows: list[Demonstration]) -> None:
        """After a part."""
        self.parts += 1
        self.kept += len(rows)
        self.turns += sum(len(row.answers) for row in rows)
        self.corrupted.update(row.corrupted for row in rows if row.corrupted)
        self.write(folder)

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
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
    """Reads chats from a file; every row that is not taken is told by number and reason."""
    source = Path(config.import_from)
    folder = Path(config.out or f"demos/{source.stem}")
    if any(folder.glob("data/*.parquet")):
        raise FileExistsError(
            f"{folder} holds demonstrations already: choose another by out=, or delete it where an import "
            "was interrupted"
        )
    report = import_chats(source, pictures=Path(config.pictures) if config.pictures else None)
    part: list[Demonstration] = []
    parts = kept = pixels = 0
    for row in report.rows():
        if reason := filtered(row, config.keep):
            report.left_out.append((kept + len(report.left_out), reason))
            report.reasons[reason] += 1
            continue
        part.append(row)
        kept += 1
        pixels += sum(picture.shape[0] * picture.shape[1] for picture in row.pictures)
        if len(part) == config.part or pixels > MOST_PIXELS:
            write_part(folder, parts, part)
            parts, part, pixels = parts + 1, [], 0
        if kept == config.n:
            break
    if part:
        write_part(folder, parts, part)
    counts = {"kept": kept, "left_out": dict(report.reasons)}
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "left_out.jsonl", "w", encoding="utf-8") as lines:
        for number, reason in report.left_out:
            print(json.dumps({"row": number, "reason": reason}), file=lines)
    if kept == 0:
        if not report.left_out:
            raise ValueError(f"{source} holds no chat: give a JSON or JSONL file of chats")
        raise ValueError(
            f"no row of {source} could be taken: {dict(report.reasons)}; {folder}/left_out.jsonl "
            "names each"
        )
    write_card(folder, {"import_from": str(source.name)}, counts)
    return counts | {"folder": str(folder), "left_out_rows": str(folder / "left_out.jsonl")}
