"""Evaluation: every split of a world, greedily or by sampling, with intervals and verdicts.

    Evaluator(config, policy, engine, processes).evaluate()   -> eval/<split>/success, .../low, .../high, ...

Task instances are those of the split and of a seed that training never draws by, the same at each
evaluation, so that figures compare.

    .validate()   -> validation/<split>/success, on task instances that no evaluation plays

where `eval.validation` names a split: what a run is chosen by is not what it reports.

Where `eval.passes` asks for it, the last evaluation also plays sampled tries of the first task instances of
each split: eval/<split>/pass@k, and `.tries()` has what came of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from omegaconf import DictConfig

from agents.conversation import ChatModel
from agents.engines.base import GREEDY, Engine, Sampling
from agents.trajectory import by_task
from agents.worlds import World
from amft_mm.config.settings import EnvPart, parts_of, world_of
from amft_mm.data.rollouts import UNGUIDED, Guided, Played, RolloutWorker, play_settings
from amft_mm.evaluation.intervals import pass_at, wilson_of_tries
from amft_mm.runs.episodes import Recorder
from amft_mm.runs.processes import ProcessGroup

SEED = 2**30
"""Added to the evaluation's own seed; training's are below."""
VALIDATION = SEED + 2**29
"""The same for validation; seeds end at twice `SEED`."""
Tried = tuple[int, int]
"""Tries of a task instance that did not fail, and those that succeeded."""
Tries = dict[str, list[Tried | None]]
"""By split, of its first task instances; None where all failed."""


@dataclass(frozen=True)
class Split:
    """A split of one of the run's environments. `label` is how it is named in figures."""

    label: str
    env: DictConfig
    name: str | None

    def check(self) -> None:
        """What is not there is told now, not after the training."""
        try:
            self.world().make().close()
        except ValueError as error:
            what = (
                f"env={self.env.name}"
                if self.name is None
                else f"the split {self.label} of env.splits"
            )
            raise ValueError(f"{what} can not be played: {error}") from None

    def world(self) -> World:
        return world_of(self.env, **({} if self.name is None else {"split": self.name}))


def splits_of(env: DictConfig) -> list[Split]:
    """What an environment, or each of a mix, is evaluated on."""
    parts = parts_of(env)
    return [_split(part, name, len(parts) > 1) for part in parts for name in _names(part)]


def chosen_splits(env: DictConfig, labels: Sequence[str] | None) -> list[Split]:
    """Those of these labels; what is trained on can be asked for too. None is each part's first."""
    known, parts = splits_of(env), parts_of(env)
    if labels is None:
        return [_split(part, _names(part)[0], len(parts) > 1) for part in parts]
    trained = [_split(p, p.env.split, len(parts) > 1) for p in parts if "split" in p.env]
    found = {split.label: split for split in [*trained, *known]}
    missing = [label for label in labels if label not in found]
    if missing or not labels:
        raise ValueError(f"eval.splits={list(labels)}: there are {', '.join(found)}")
    return [found[label] for label in labels]


def check_splits(config: DictConfig) -> None:
    """Before anything starts: what can not be played is a mistake in the settings."""
    asked = [*splits_of(config.env), *chosen_splits(config.env, config.eval.splits)]
    for split in {split.label: split for split in asked}.values():
        split.check()
    validation_splits(config.env, config.eval.get("validation"))
    for part in parts_of(config.env):
        world_of(part.env).make().close()


def validation_splits(env: DictConfig, wanted: str | None) -> list[Split]:
    """Of each environment the split of this name, or the first that begins with `ood`; None is no split."""
    if wanted is None:
        return []
    parts, found = parts_of(env), []
    for part in parts:
        known = [str(name) for name in part.env.get("splits") or []]
        fitting = [n for n in known if n == wanted or (wanted == "ood" and n.startswith("ood"))]
        if not fitting:
            raise ValueError(
                f"eval.validation={wanted}: {part.name} has {', '.join(known) or 'no splits'} (env.splits). "
                "Name one of them, ood for the first that begins so, or null"
            )
        found.append(_split(part, fitting[0], len(parts) > 1))
    return found


def _names(part: EnvPart) -> list[str | None]:
    return list(part.env.get("splits") or []) or [None]


def _split(part: EnvPart, name: str | None, several: bool) -> Split:
    label = name or "all"
    return Split(f"{part.name}/{label}" if several else label, part.env, name)


class Evaluator:
    def __init__(
        self, config: DictConfig, policy: ChatModel, engine: Engine, processes: ProcessGroup
    ) -> None:
        self._config, self._policy, self._engine, self._processes = (
            config,
            policy,
            engine,
            processes,
        )
        self._all = splits_of(config.env)
        self._between = chosen_splits(config.env, config.eval.splits)
        self._validating = validation_splits(config.env, config.eval.get("validation"))
        self._workers: dict[str, RolloutWorker] = {}
        self._last: list[tuple[Split, Played]] = []
        self._tried: Tries = {}

    def evaluate(self, *, last: bool = True) -> dict[str, Any]:
        """Those of `eval.splits`, or the first of each environment; all others beside them at the end."""
        row: dict[str, Any] = {}
        self._last, self._tried = [], {}
        for split in self._at_the_end() if last else self._between:
            played = self._play(split, SEED)
            row |= self._figures(split.label, played)
            if last and self._config.eval.get("passes"):
                row |= self._try(split)
            self._last.append((split, played))
            if played.metrics.get("success") is None and played.errors:
                first = played.errors[0]
                row[f"eval/{split.label}/crash"] = f"{first.get('kind')}: {first.get('message')}"
        return row

    def _at_the_end(self) -> list[Split]:
        """With what `eval.splits` names of training, so that the last weights are scored as all before."""
        known = {split.label for split in self._all}
        return [*self._all, *(split for split in self._between if split.label not in known)]

    @property
    def validates(self) -> bool:
        return bool(self._validating)

    def validate(self) -> dict[str, Any]:
        return {
            f"validation/{s.label}/success": self._play(s, VALIDATION).metrics.get("success")
            for s in self._validating
        }

    def quick(self, episodes: int) -> dict[str, Any]:
        """Greedy success on the first task instances of what is evaluated while training."""
        row: dict[str, Any] = {}
        for split in self._between:
            played = self._play(split, SEED, episodes, tries=1)
            row |= {f"quick/{split.label}/{k}": v for k, v in _shares(played).items()}
        return row

    def keep(self, recorder: Recorder, step: int, count: int) -> None:
        """The first episodes of each split of the last evaluation."""
        for split, played in self._last:
            recorder.keep("evaluation", step, split.label, played.mine[:count], split.world())

    def score(self, found: dict[str, Any]) -> float:
        """What tells the best checkpoint: success where it is validated, else on what is evaluated while
        training."""
        known = [share for name in self._scored_by if (share := found.get(name)) is not None]
        return float(np.mean(known)) if known else 0.0

    def scores(self, found: dict[str, Any]) -> bool:
        """Whether that has all that `score` is a mean of."""
        return all(name in found for name in self._scored_by)

    @property
    def measure(self) -> str:
        """Names what `score` is a mean of: scores of another one are not compared with it."""
        own = self._config.eval
        tried = f", {own.tries} tries at {own.temperature:g}" if own.tries > 1 else ""
        return f"{', '.join(self._scored_by)} of {own.episodes} from {own.seed} on{tried}"

    @property
    def _scored_by(self) -> list[str]:
        kind = "validation" if self.validates else "eval"
        splits = self._validating if self.validates else self._between
        return [f"{kind}/{split.label}/success" for split in splits]

    def _play(
        self, split: Split, seed: int, episodes: int | None = None, tries: int | None = None
    ) -> Played:
        config, settings = self._config.eval, play_settings(self._config)
        episodes, tries = episodes or config.episodes, tries or config.tries
        if split.label not in self._workers:
            self._workers[split.label] = RolloutWorker(
                split.world(), self._policy, self._engine, settings, self._processes
            )
        sampling = GREEDY if tries == 1 else Sampling(config.temperature)
        # Training has no such choice; its evaluations are by seeds that are drawn.
        listed = Guided(seeds=tuple(range(episodes))) if config.get("in_order") else UNGUIDED
        return self._workers[split.label].play(
            seed + config.seed, 0, episodes, tries, sampling, listed
        )

    def _figures(self, split: str, played: Played) -> dict[str, Any]:
        metrics, tries = played.metrics, int(self._config.eval.tries)
        row: dict[str, Any] = {
            **_shares(played),
            "flawless": metrics.get("flawless"),
            "return": metrics.get("return"),
            "turns": metrics.get("turns"),
            "failed": metrics["failed"],
        }
        row |= {k: v for k, v in metrics.items() if k.startswith(("verdict/", "stop/", "failure/"))}
        if tries > 1:
            row |= _passes(tries, self._tries_of(played).values())
        return {f"eval/{split}/{name}": value for name, value in row.items()}

    def _try(self, split: Split) -> dict[str, Any]:
        asked = self._config.eval.passes
        found = self._tries_of(self._play(split, SEED, asked.episodes, asked.tries))
        self._tried[split.label] = [found.get(task) for task in range(asked.episodes)]
        return {
            f"eval/{split.label}/{k}": v for k, v in _passes(asked.tries, found.values()).items()
        }

    def _tries_of(self, played: Played) -> dict[int, Tried]:
        """Of all processes, by task instance; one whose tries all failed is left out."""
        groups = by_task(t for t in played.mine if not t.failed)
        mine = [(task, len(ts), sum(t.success for t in ts)) for task, ts in groups.items()]
        return {task: (n, right) for task, n, right in self._processes.gather(mine)}

    def summary(self, weights: str, found: dict[str, Any]) -> dict[str, Any]:
        config = self._config.eval
        return {
            "weights": weights,
            "splits": [split.label for split, _ in self._last],
            "episodes": config.episodes,
            "tries": config.tries,
            "seed": config.seed,
            **found,
        }

    def instances(self) -> dict[str, list[float | None]]:
        """How each task instance of the last evaluation fared, by split; None where its episodes failed.
        They are the same for all weights, so that two evaluations can be compared one by one."""
        asked = range(self._config.eval.episodes)
        return {split.label: [played.fared.get(i) for i in asked] for split, played in self._last}

    def tries(self) -> Tries:
        """Of the last evaluation's `eval.passes`."""
        return self._tried

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()


def _shares(played: Played) -> dict[str, float | None]:
    """Success with its interval; None where nothing was played to its end."""
    count = int(played.metrics["episodes"] - played.metrics["failed"])
    share, each = played.metrics.get("success"), list(played.fared.values())
    low, high = (None, None) if share is None else wilson_of_tries(share, each, count)
    return {"success": share, "low": low, "high": high}


def _passes(tries: int, tried: Iterable[Tried]) -> dict[str, float]:
    """pass@1 and pass@`tries`, of the task instances that had so many."""
    found = list(tried)
    means = {k: [pass_at(k, n, right) for n, right in found if n >= k] for k in (1, tries)}
    return {f"pass@{k}": float(np.mean(each)) for k, each in means.items() if each}
