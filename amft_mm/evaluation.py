"""Evaluation: every split of a world, greedily or by sampling, with intervals and verdicts.

    Evaluator(config, policy, engine, team).evaluate()   -> eval/<split>/success, .../low, .../high, ...

Task instances are those of the split and of a seed that training never draws by, the same at each
evaluation, so that figures compare.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from omegaconf import DictConfig

from agents.engines.base import GREEDY, Engine, Sampling
from agents.policy import Policy
from agents.trajectory import Trajectory
from amft_mm.intervals import pass_at, wilson
from amft_mm.rollouts import Played, Stage, play_settings
from amft_mm.settings import world_of
from amft_mm.team import Team

SEED = 2**30
"""Added to the evaluation's own seed; training's are below."""


class Evaluator:
    def __init__(self, config: DictConfig, policy: Policy, engine: Engine, team: Team) -> None:
        self._config, self._policy, self._engine, self._team = config, policy, engine, team
        self.splits: list[str | None] = list(config.env.get("splits") or []) or [None]
        self._stages: dict[str | None, Stage] = {}
        self.last: dict[str, list[Trajectory]] = {}

    def evaluate(self, *, last: bool = True) -> dict[str, Any]:
        """All splits at the end; those named by `eval.splits` while training."""
        config = self._config.eval
        while_training = list(config.splits) if config.splits else self.splits[:1]
        row: dict[str, Any] = {}
        for split in self.splits if last else while_training:
            played = self._play(split, config.episodes)
            row |= self._figures(split or "all", played)
            self.last[split or "all"] = played.mine
        return row

    def _play(self, split: str | None, episodes: int) -> Played:
        if split not in self._stages:
            changes = {} if split is None else {"split": split}
            self._stages[split] = Stage(
                world_of(self._config.env, **changes),
                self._policy,
                self._engine,
                play_settings(self._config),
                self._team,
            )
        config = self._config.eval
        sampling = GREEDY if config.tries == 1 else Sampling(config.temperature)
        return self._stages[split].play(SEED + config.seed, 0, episodes, config.tries, sampling)

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
            groups = self._team.gather(_by_task(played.mine))
            for k in sorted({1, tries}):
                row[f"pass@{k}"] = float(np.mean([pass_at(k, n, right) for n, right in groups]))
        return {f"eval/{split}/{name}": value for name, value in row.items()}

    def summary(self, weights: str, found: dict[str, Any]) -> dict[str, Any]:
        config = self._config.eval
        return {
            "weights": weights,
            "splits": [split or "all" for split in self.splits],
            "episodes": config.episodes,
            "tries": config.tries,
            "seed": config.seed,
            **found,
        }

    def close(self) -> None:
        for stage in self._stages.values():
            stage.close()


def _by_task(trajectories: list[Trajectory]) -> list[tuple[int, int]]:
    """(tries that did not fail, successes) of each task instance."""
    tries: dict[int, list[bool]] = {}
    for trajectory in trajectories:
        if not trajectory.failed:
            tries.setdefault(trajectory.task, []).append(trajectory.success)
    return [(len(outcomes), sum(outcomes)) for outcomes in tries.values()]
