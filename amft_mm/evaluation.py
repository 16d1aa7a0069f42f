"""Evaluation: every split of a world, greedily or by sampling, with intervals and verdicts.

    Evaluator(config, policy, engine, team).evaluate()   -> eval/<split>/success, .../low, .../high, ...

Task instances are those of the split and of a seed that training never draws by, the same at each
evaluation, so that figures compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from omegaconf import DictConfig

from agents.engines.base import GREEDY, Engine, Sampling
from agents.policy import Policy
from agents.trajectory import Trajectory, by_task
from agents.worlds import World
from amft_mm.episodes import Recorder
from amft_mm.intervals import pass_at, wilson
from amft_mm.rollouts import Played, Stage, play_settings
from amft_mm.settings import parts_of, world_of
from amft_mm.team import Team

SEED = 2**30
"""Added to the evaluation's own seed; training's are below."""


@dataclass(frozen=True)
class Split:
    """A split of one of the run's environments. `label` is how it is named in figures."""

    label: str
    env: DictConfig
    name: str | None

    def world(self) -> World:
        return world_of(self.env, **({} if self.name is None else {"split": self.name}))


def splits_of(env: DictConfig) -> list[Split]:
    """With several environments, their names come before the splits'."""
    parts = parts_of(env)
    return [
        Split(f"{part.name}/{name}" if len(parts) > 1 else name, part.env, known)
        for part in parts
        for known in list(part.env.get("splits") or []) or [None]
        for name in [known or "all"]
    ]


class Evaluator:
    def __init__(self, config: DictConfig, policy: Policy, engine: Engine, team: Team) -> None:
        self._config, self._policy, self._engine, self._team = config, policy, engine, team
        self.splits = splits_of(config.env)
        self._stages: dict[str, Stage] = {}
        self._last: dict[str, list[Trajectory]] = {}

    def evaluate(self, *, last: bool = True) -> dict[str, Any]:
        """All splits at the end; those of `eval.splits`, or the first of each environment, before."""
        wanted = self._config.eval.splits
        if wanted is None:
            wanted = self._firsts()
        chosen = [split for split in self.splits if last or split.label in wanted]
        if not chosen:
            there = ", ".join(split.label for split in self.splits)
            raise ValueError(f"eval.splits={list(wanted)}: there are {there}")
        row: dict[str, Any] = {}
        self._last = {}
        for split in chosen:
            played = self._play(split, self._config.eval.episodes)
            row |= self._figures(split.label, played)
            self._last[split.label] = played.mine
        return row

    def keep(self, recorder: Recorder, step: int, count: int) -> None:
        """The first episodes of each split of the last evaluation."""
        for split in self.splits:
            first = self._last.get(split.label, [])[:count]
            recorder.keep("evaluation", step, split.label, first, split.world())

    def score(self, found: dict[str, Any]) -> float:
        """What tells the best checkpoint: success on the first split of each environment."""
        shares = [found.get(f"eval/{label}/success") for label in self._firsts()]
        known = [share for share in shares if share is not None]
        return float(np.mean(known)) if known else 0.0

    def _firsts(self) -> list[str]:
        """The first split of each environment."""
        return list({id(split.env): split.label for split in reversed(self.splits)}.values())

    def _play(self, split: Split, episodes: int) -> Played:
        config, settings = self._config.eval, play_settings(self._config)
        if split.label not in self._stages:
            self._stages[split.label] = Stage(
                split.world(), self._policy, self._engine, settings, self._team
            )
        sampling = GREEDY if config.tries == 1 else Sampling(config.temperature)
        return self._stages[split.label].play(
            SEED + config.seed, 0, episodes, config.tries, sampling
        )

    def _figures(self, split: str, played: Played) -> dict[str, Any]:
        metrics, tries = played.metrics, int(self._config.eval.tries)
        count = int(metrics["episodes"] - metrics["failed"])
        share = metrics.get("success", 0.0)
        low, high = wilson(round(share * count), count)
        row = {
            "success": share,
            "low": low,
            "high": high,
            "return": metrics.get("return", 0.0),
            "turns": metrics.get("turns", 0.0),
            "failed": metrics["failed"],
        }
        row |= {k: v for k, v in metrics.items() if k.startswith(("verdict/", "stop/"))}
        if tries > 1:
            groups = self._team.gather(_tries(played.mine))
            for k in sorted({1, tries}):
                row[f"pass@{k}"] = float(np.mean([pass_at(k, n, right) for n, right in groups]))
        return {f"eval/{split}/{name}": value for name, value in row.items()}

    def summary(self, weights: str, found: dict[str, Any]) -> dict[str, Any]:
        config = self._config.eval
        return {
            "weights": weights,
            "splits": [split.label for split in self.splits],
            "episodes": config.episodes,
            "tries": config.tries,
            "seed": config.seed,
            **found,
        }

    def close(self) -> None:
        for stage in self._stages.values():
            stage.close()


def _tries(trajectories: list[Trajectory]) -> list[tuple[int, int]]:
    """(tries that did not fail, successes) of each task instance."""
    tries = by_task(t for t in trajectories if not t.failed).values()
    return [(len(members), sum(t.success for t in members)) for members in tries]
