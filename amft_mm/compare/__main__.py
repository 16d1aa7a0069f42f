"""`python -m amft_mm.compare envs=[math] methods=[sft,grpo,amft]`: which method does better, and how surely.

Warm-ups first, then each method's trials of learning rates, then the runs, `jobs` at a time. What has
finished is not made again, so the command can be stopped and started at will; the JSON files alone are enough
for that, and a warm-up is made again where a run still needs its weights. Machines that share `out=` share
the work when each runs the command; without a shared folder `shard=2/8` does an eighth of the methods, and
the command puts together what was copied into one folder. Written are `README.md`, `index.html`, `figures/`
and `replays/` in `out=`; a study's lie in a folder of their own there, and what it shares with other
comparisons is not made again. `render=true` makes that anew from the JSON files alone.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before what is slow to import
    from amft_mm import commands

    sys.exit(commands.main(["compare", *sys.argv[1:]]))

import os
import re
import shlex
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from filelock import FileLock
from omegaconf import DictConfig

from agents.files import write_text
from amft_mm.compare import power
from amft_mm.compare.again import Found, as_it_lies, found_in, with_others
from amft_mm.compare.grid import Grid, More, Run
from amft_mm.compare.jobs import make_all
from amft_mm.compare.kept import RUNS, results_in
from amft_mm.compare.looks import fewest, level, looks
from amft_mm.compare.page import Links
from amft_mm.compare.parts import Part
from amft_mm.compare.places import Place, places
from amft_mm.compare.replays import replays_in, write_replays
from amft_mm.compare.report import Report, report
from amft_mm.compare.result import Result, fingerprint, is_made, read_result
from amft_mm.compare.searching import at_edges, best_of, without_a_choice
from amft_mm.compare.selecting import beginning_of, by_name, methods_of
from amft_mm.compare.sequential import Pair, decisions, pairs_of, wanting
from amft_mm.compare.verdicts import by_looks
from amft_mm.config.command_line import configuration
from amft_mm.config.fields import SettingError
from amft_mm.data.curriculum import curriculum_of
from amft_mm.evaluation.evaluator import check_splits
from amft_mm.methods.combinations import refuse_contradictions
from amft_mm.runs.folder import LOCK

OF_A_SEED = ("seed=", "demos.seed=", "demos.folder=", "train.warm_from=")


def compare(config: DictConfig) -> list[Result]:
    if config.only and not config.render:
        raise ValueError(
            f"only={config.only}: says what a report is of that is made anew, by render=true as well. What "
            "is run say envs=, methods= and conditions="
        )
    return render(config) if config.render else make(config)


def make(config: DictConfig) -> list[Result]:
    grid, at_once, pilot = Grid(config), places(config.jobs), pilots(config)
    trials = grid.trials()
    planned = [*trials, *grid.runs({})]
    for run in grid.every_condition():
        composed(run)
    check_settings([*grid.warm(planned), *planned])
    told = power.words(pilot, grid.planned(), config.worth)
    print("What this can tell:", *told, sep="\n- ")
    warm_up(grid, planned, at_once)
    tried = make_all(trials, at_once, print, keep=False)
    chosen, seen = best_of(trials, tried), looks(grid.at_first, grid.max_seeds)
    left_out = without_a_choice(trials, tried)
    for told_of in [*at_edges(trials, chosen), *left_out.values()]:
        print(told_of)
    more: More = {}
    for seeds, wanted in pairwise([*seen, None]):
        runs = [r for r in grid.runs(chosen, more) if (r.env, r.method) not in left_out]
        if not runs and left_out:
            raise RuntimeError(f"Nothing is left to compare. {next(iter(left_out.values()))}")
        warm_up(grid, runs, at_once)
        results = make_all(runs, at_once, print, keep=False)
        if wanted is None:
            break
        wanting_more = wanting(pairs_of(results, grid.baselines, seen, config.worth))
        if not wanting_more:
            break
        print(f"{len(wanting_more)} methods are not told apart by {seeds} seeds: {wanted}")
        more |= dict.fromkeys(wanting_more, wanted)
    warmups = [found for run in grid.warm(runs) if (found := read_result(run))]
    check_beginnings([*tried, *results], warmups)
    tell(config, Found(results, warmups, tried), _command(), told, seen)
    return results


def render(config: DictConfig) -> list[Result]:
    """The report of runs that are there, as they are."""
    config, commands = as_it_lies(config, _command(), print)
    found = found_in(config, print)
    commands = with_others(commands, found.runs, print)
    first = fewest(config.seeds, config.more_seeds, methods_of(found.runs))
    seen = looks(first, config.max_seeds or first)
    told = power.words(found.runs, power.plans_of(found.runs, seen), config.worth)
    if re.search(r"max_seeds=\d", commands.made) and config.max_seeds is None:
        print(
            f"It was looked at several times by `{commands.made}`: give seeds=, more_seeds= and max_seeds= "
            "as there, or its differences are told as by an only look, more of them than there are"
        )
    tell(config, found, str(commands), told, seen)
    return found.runs


def tell(config: DictConfig, found: Found, command: str, told: list[str], seen: list[int]) -> None:
    """Writes the report; one at a time, since machines that share a folder end together."""
    baselines, runs = list(config.baselines), Path(config.out) / "runs"
    methods = methods_of(found.runs)
    if not {*baselines} & {*methods}:
        print(
            f"baselines=[{','.join(baselines)}]: none of them is among the runs, and nothing is said of what "
            f"methods have over another. There are: {', '.join(methods)}"
        )
    out = Path(config.out) / config.report
    pairs = pairs_of(found.runs, baselines, seen, config.worth) if len(seen) > 1 else []
    words = [*power_parts(told), *(sequential_parts(pairs, seen) if pairs else [])]
    verdicts = by_looks(seen, pairs)
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / LOCK):
        if config.replay:
            write_replays(found.runs, baselines, runs, out)
        around = Links(os.path.relpath(runs, out), replays_in(found.runs, out))
        made = report(
            found.runs, found.warmups, command, baselines, words, around, found.trials, verdicts
        )
        write(out, made)


def pilots(config: DictConfig) -> list[Result]:
    """Runs that say how much chance there is in a comparison: of another folder, or what is here already."""
    if config.pilot is None:
        return results_in(Path(config.out), RUNS, print)
    found = results_in(Path(config.pilot), RUNS, print)
    if not found:
        raise FileNotFoundError(
            f"pilot={config.pilot}: there are no runs of a comparison (runs/ENV/CONDITION/METHOD/SEED.json)"
        )
    return found


def warm_up(grid: Grid, runs: list[Run], at_once: Sequence[Place]) -> None:
    begin = grid.warm(run for run in runs if not is_made(run))
    failed = [r for r in make_all(begin, at_once, print, keep=True) if r.state != "finished"]
    if failed:
        raise RuntimeError(f"{len(failed)} warm-ups crashed; the first: {failed[0].why[-500:]}")


def power_parts(told: list[str]) -> list[Part]:
    lines = "\n\n".join(told)
    return [("## What this can tell", None), (f"Simulated from pilot runs:\n\n{lines}", None)]


def sequential_parts(pairs: Sequence[Pair], seen: list[int]) -> list[Part]:
    words = (
        f"Looked at after {', '.join(map(str, seen))} seeds, each look at {level(tuple(seen)):.1%} so that "
        "all together err 5 times in 100 (Pocock, 1977), and with the scatter of seeds that all pairs show "
        "together; a method with no open pair had no more seeds."
    )
    return [("## Told apart", None), (words, decisions(pairs))]


def check_settings(runs: list[Run]) -> None:
    """What a run of hours would end with is told now: settings that are not allowed, and what does not go
    together. What is of a seed, the folders of warm-ups that are not there yet among it, is left out."""
    seen, played = set(), set()
    for run in runs:
        settings = _whatever_seed(run)
        if settings not in seen:
            seen.add(settings)
            config = composed(run)
            world = str((config.env, config.eval.splits, config.eval.validation))
            try:
                refuse_contradictions(config)
                curriculum_of(config)
                if world not in played:
                    check_splits(config)
                    played.add(world)
            except ValueError as error:
                raise ValueError(f"{run.title}: {error}") from None


def composed(run: Run) -> DictConfig:
    try:
        return configuration("train", _whatever_seed(run))
    except SettingError as error:
        raise SettingError(f"{run.title}: {error}") from None


def _whatever_seed(run: Run) -> tuple[str, ...]:
    return tuple(word for word in run.settings if not word.lstrip("+").startswith(OF_A_SEED))


def _command() -> str:
    """The one that was given, by whichever door."""
    words = sys.argv[2:] if sys.argv[1:2] == ["compare"] else sys.argv[1:]
    return shlex.join(["python", "-m", "amft_mm.compare", *words])


def check_beginnings(results: list[Result], warmups: list[Result]) -> None:
    """Folders of several machines that were put into one hold only one warm-up of a name."""
    known = {name: fingerprint(warmup) for name, warmup in by_name(warmups).items()}
    apart = [r for r in results if r.begun and r.begun != known.get(beginning_of(r), r.begun)]
    if apart:
        raise ValueError(
            f"{len(apart)} runs, {apart[0].name} the first, began with other warm-ups than `warm` holds, as "
            "machines of another kind make them, and are not to be compared with the rest: delete their JSON "
            "files, give every machine the same `warm` folder, and make them again"
        )


def write(out: Path, made: Report) -> None:
    (out / "figures").mkdir(exist_ok=True)
    for name, text in made.figures.items():
        write_text(out / "figures" / name, text)
    write_text(out / "README.md", made.markdown)
    write_text(out / "index.html", made.page)
    print(f"{out}/README.md")
