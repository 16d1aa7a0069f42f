"""The life of a training run: a warm-up that imitates, then steps that imitate and explore.

    with Trainer.of(config) as trainer:           # opens the folder, the model and the demonstrations
        trainer.listeners.append(print)           # called with every row of metrics
        summary = trainer.train()

What a step does stands in amft_mm/training/step.py; here is when it is made, evaluated, saved, and how a
run is stopped and gone on with.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import torch
from omegaconf import DictConfig

from agents.engines.base import Engine
from agents.files import reason_of, write_text
from agents.policy import OtherWeights, Policy
from amft_mm.config.begun import defaults
from amft_mm.config.difference import words_of
from amft_mm.config.fields import checked
from amft_mm.config.players import engine_of, load_policy, open_process_group
from amft_mm.config.schema import SCHEMAS
from amft_mm.data.curriculum import curriculum_of
from amft_mm.demos import record_demonstrations
from amft_mm.evaluation.evaluator import Evaluator, check_splits
from amft_mm.evaluation.quick import QuickEvaluation
from amft_mm.learning.optimization import slope
from amft_mm.methods.combinations import refuse_contradictions
from amft_mm.replay.film import films_of_evaluation
from amft_mm.runs import checkpoints
from amft_mm.runs.card import model_card
from amft_mm.runs.curves import draw
from amft_mm.runs.episodes import Recorder
from amft_mm.runs.failures import WorldsFail
from amft_mm.runs.folder import RunFolder, default_path, read_config
from amft_mm.runs.hub import Hub
from amft_mm.runs.metrics import EVALUATION, read_rows
from amft_mm.runs.processes import ProcessGroup
from amft_mm.runs.stopping import Stopping
from amft_mm.runs.trackers import trackers
from amft_mm.training import memory
from amft_mm.training.companions import Row
from amft_mm.training.step import TrainingStep


def is_validated(row: Row) -> bool:
    """Of an evaluation: of a step, and not of the best weights, with which a run ends."""
    return any(name.startswith("validation/") for name in row)


class Stopped(SystemExit):
    """A signal asked for it; the checkpoint is written."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


def checked_run(config: DictConfig) -> DictConfig:
    """With its types; a ValueError where no run can be of it. Nothing is loaded for that."""
    config = checked(SCHEMAS["train"], config)
    refuse_contradictions(config)
    curriculum_of(config)
    check_splits(config)
    return config


class Trainer:
    def __init__(
        self,
        config: DictConfig,
        policy: Policy,
        engine: Engine,
        run: RunFolder,
        processes: ProcessGroup,
        listeners: Sequence[Callable[[Row], None]],
    ) -> None:
        """Of parts that are there already; `of` opens them. `listeners` get every row of metrics."""
        self.config, self.policy, self.engine = config, policy, engine
        self.run, self.processes, self.listeners = run, processes, list(listeners)
        self._recorder = Recorder(run.path / "episodes", policy)
        self.training_step = TrainingStep(config, policy, engine, processes, self._recorder)
        self.evaluator = Evaluator(config, policy, engine, processes)
        self._quick = QuickEvaluation(config.eval.quick, self.evaluator, policy, processes)
        keep = int(config.checkpoint.keep)
        self._writer = checkpoints.Writer(self.folder, keep, processes)
        self.step = 0
        self.resumed = False
        self.whole = False
        """Whether weights, optimizer and the number of the step belong together."""
        self._saved, self._saving = time.monotonic(), 0.0
        """When the last checkpoint was begun, and how long the run waited for that. It is written while
        training goes on, and the next one waits for its end."""
        self._hub: Hub | None = None
        self.pushed: list[str] = []
        """Addresses on the hub, where it was asked for."""
        self._closing = ExitStack()
        """What is to be closed with it."""

    @classmethod
    def of(cls, config: DictConfig) -> Self:
        """All that a run of this configuration needs, checked and opened; where it is resumed, at its newest
        checkpoint."""
        config = checked_run(config)
        torch.manual_seed(config.seed)
        processes = open_process_group(config)
        path = Path(config.out or default_path(config.env.name, config.method.name, config.seed))
        path = processes.gather([path])[0]  # the first one's: clocks may differ by a second
        with ExitStack() as closing:
            run = RunFolder(
                path,
                config,
                resume=config.resume,
                newer=defaults() if config.resume else None,
                processes=processes,
            )
            closing.callback(run.close)
            hub = None
            if config.push_to_hub is not None and processes.main:
                hub = Hub(config.push_to_hub, private=config.hub_private)
                hub.open()
            policy = load_policy(config)
            engine = engine_of(config, policy)
            if config.demos.folder is None and config.demos.n:
                config.demos.folder = str(path / "demos")
                if processes.main:
                    record_demonstrations(config)
                processes.wait()
            tracked = trackers(config, path, films_of_evaluation) if processes.main else []
            for tracker in tracked:
                closing.callback(tracker.close)
            trainer = cls(config, policy, engine, run, processes, tracked)
            closing.callback(trainer._close)
            trainer._begin()
            trainer._hub, trainer._closing = hub, closing.pop_all()
        return trainer

    def _begin(self) -> None:
        if self.config.resume and self.resume():
            self.resumed = True
        elif self.config.train.warm_from is not None:
            self.warm_from(Path(self.config.train.warm_from))
        self.training_step.hand_over()  # so that what can not take the weights says so before the warm-up
        self.engine.rest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._closing.close()

    def _close(self) -> None:
        """Worlds and threads, however the run ended; a checkpoint that is being written is written first."""
        self.training_step.close()
        self.evaluator.close()
        self._writer.close()

    @property
    def last_step(self) -> int:
        return self._warmup + int(self.config.train.steps)

    def train(self) -> dict[str, Any]:
        """To the end, with the model beside it; returns what summary.json holds."""
        if self._warmup <= self.step < self.last_step:
            self.training_step.begin_exploring(self.run.path, begun=self.step > self._warmup)
        if self.resumed and self._lacks_its_evaluation():
            self._evaluate()
        with Stopping(tell=self.processes.main) as stopping:
            try:
                for row in self.steps():
                    self._report(row)
                    if number := self._after(stopping):
                        self._writer.wait()
                        raise Stopped(number)
            except Exception as error:
                self._save_what_is_whole(error)
                raise
        self._writer.wait()
        if self.evaluator.validates:
            self._end_with_the_best()
        self._save_model()
        self._push()
        return self.run.summary()

    def _save_model(self) -> None:
        """With its card. All processes at once, but where one alone ends for a reason of its own."""
        with self.policy.gathered():
            if self.processes.main:
                self._write_model(self.run.path / "model")

    def _write_model(self, folder: Path) -> None:
        try:
            self.policy.save(folder)
        except (OSError, RuntimeError) as error:
            raise RuntimeError(
                f"{folder} could not be written: {reason_of(error)}. The run is in its last "
                f"checkpoint ({checkpoints.name_of(checkpoints.latest(self.folder))}); free some space, "
                "then write the model by resume=true"
            ) from error
        config, rows = read_config(self.run.path), read_rows(self.run.path)
        card = model_card(config, words_of("train", config), self.run.summary(), rows)
        write_text(folder / "README.md", card)

    def _push(self) -> None:
        """The model with its card, and the demonstrations that were played for it."""
        if self._hub is None:
            return
        self.pushed.append(self._hub.push(self.run.path / "model"))
        own = self.run.path / "demos"
        for part in sorted(own.iterdir()) if own.is_dir() else ():
            self.pushed.append(self._hub.beside(f"demos-{part.name}").push(part))

    def steps(self) -> Iterator[Row]:
        while self.step < self.last_step:
            started = time.monotonic()
            memory.begin_step(self.policy.device)
            self.step += 1
            self.whole = False
            lr = self.lr(self.step)
            self.training_step.learner.set_lr(lr)
            if self.step <= self._warmup:
                phase, figures = "warmup", self.training_step.imitate(self.step)
            else:
                number = self.step - 1 - self._warmup
                phase, figures = "mix", self.training_step.mix(self.step, number)
            seconds = time.monotonic() - started
            self.whole = True
            (peak,) = self.processes.most(memory.peak(self.policy.device))
            row = {"step": self.step, "phase": phase, **figures, "lr": lr, "time/step": seconds}
            yield row | {"memory/peak": peak}

    @property
    def _warmup(self) -> int:
        return int(self.config.train.warmup_steps)

    def lr(self, step: int) -> float:
        """A ramp and a half cosine in each of the two phases."""
        train = self.config.train
        if step <= self._warmup:
            return float(train.warmup_lr * slope(step, self._warmup, train.ramp, train.final_lr))
        done = step - self._warmup
        return float(train.lr * slope(done, train.steps, train.ramp, train.final_lr))

    # After a step.

    def _report(self, row: Row) -> None:
        if self.processes.main:
            self.run.log(row)
        for listener in self.listeners:
            listener(row)

    def _after(self, stopping: Stopping) -> int:
        """The number of the signal that asks to stop here, or 0. All processes do the same."""
        if self.step == self._warmup:
            self.training_step.begin_exploring(self.run.path)
        last, best = self.step == self.last_step, False
        if self._is_evaluated():
            best = self._evaluate()
        elif self.step < self._warmup and self._quick.is_due():
            self.training_step.hand_over()
            self._report(self._quick.row(self.step))
            self.engine.rest()
        late = self.processes.main and self._is_late()
        asks = stopping.asked is not None
        wanted, asked = self.processes.sum(float(best or late), float(asks))
        counted = self.step % self.config.checkpoint.every == 0 or self.step == self._warmup
        if last or wanted or counted or asked:
            self.save()
        return (stopping.asked or signal.SIGTERM) if asked and not last else 0

    def _is_late(self) -> bool:
        """Whether the last checkpoint is long ago; where the run waited long for it, twenty times as long."""
        since = time.monotonic() - self._saved
        return since >= max(60 * self.config.checkpoint.minutes, 20 * self._saving)

    def _is_evaluated(self) -> bool:
        """Whether an evaluation belongs to this step."""
        every = self.config.eval.every
        mixes = self.step > self._warmup or self.evaluator.validates
        due = every and (self.step == self._warmup or (mixes and self.step % every == 0))
        return bool(due) or self.step == self.last_step

    def _lacks_its_evaluation(self) -> bool:
        """Where one broke off, the weights were saved without it; a run that is over may be given another
        measure. All go by what the first process finds."""
        lacks = False
        if self.processes.main and self._is_evaluated():
            lacks = not (self._is_scored() if self.step == self.last_step else self._told())
        return bool(self.processes.sum(float(lacks))[0])

    def _is_scored(self) -> bool:
        """Whether this step was told by what tells the best, and no best of another measure is known."""
        known = checkpoints.best(self.folder)
        other = known is not None and checkpoints.best(self.folder, self.evaluator.measure) is None
        return not other and any(self.evaluator.scores(row) for row in self._told())

    def _told(self) -> list[Row]:
        """What metrics.jsonl has of evaluations after this step."""
        rows = (row for row in read_rows(self.run.path) if row["step"] == self.step)
        return [row for row in rows if row.get("phase") == EVALUATION]

    def _evaluate(self) -> bool:
        """Whether it is the best so far."""
        last = self.step == self.last_step and not self.evaluator.validates
        self.training_step.hand_over()
        found = self.evaluator.evaluate(last=last) | self.evaluator.validate()
        self.engine.rest()
        self._tell(found, self.step)
        if not self.processes.main:
            return False
        score, by = self.evaluator.score(found), self.evaluator.measure
        return checkpoints.mark_best(self.folder, self.step, score, by)

    def _tell(self, found: Row, weights: int) -> None:
        """What an evaluation found of the weights of a step. Its row comes last: where that is, all is."""
        with self.policy.gathered():
            if self.processes.main:
                self.evaluator.keep(self._recorder, self.step, self.config.record.evaluation)
        if self.processes.main:
            summary = self.evaluator.summary(f"step_{weights:06d}", found)
            self.run.summarise(summary, self.evaluator.instances(), self.evaluator.tries())
        other = {} if weights == self.step else {"weights": weights}
        self._report({"step": self.step, "phase": EVALUATION, **other, **found})
        if self.processes.main:
            draw(read_rows(self.run.path), self.run.path / "curves.png", self.run.path.name)

    def _end_with_the_best(self) -> None:
        """The weights that validation took for the best are the run's, and are what it reports."""
        self.processes.wait()
        best = checkpoints.best(self.folder, self.evaluator.measure)
        if best is None:  # the last step is validated whatever `eval.every` is
            raise checkpoints.CheckpointError(
                f"{self.folder}: the checkpoint that validation took for the best is not there any more "
                f"(there: {checkpoints.names(self.folder)}). Delete the last one too, to go on from an "
                "earlier one by resume=true, or begin anew in another folder"
            )
        path = checkpoints.path_of(self.folder, best["step"])
        self.policy.put_trained(self._read(path, only="model")["model"])
        told = self.processes.main and not is_validated(self._told()[-1])
        if self.processes.sum(float(told))[0]:
            return  # a run that is over, and goes on for its model's sake
        self.engine.refresh()
        self._tell(self.evaluator.evaluate(last=True), best["step"])

    # Saving and going on.

    @property
    def folder(self) -> Path:
        return self.run.path / "checkpoints"

    def save(self) -> None:
        began = time.monotonic()
        self._writer.save(self.step, self.state())
        self._saved = time.monotonic()
        self._saving = self._saved - began

    def _save_what_is_whole(self, error: Exception) -> None:
        """What was learnt before an evaluation broke off, or worlds that fail too often. Other processes
        know nothing of the former."""
        if isinstance(error, WorldsFail):  # before the step's first update
            self.step, self.whole = self.step - 1, True
        elif isinstance(error, checkpoints.CheckpointError) or self.processes.size > 1:
            self.whole = False
        if self.whole:
            if self.step:
                self.save()
                self._writer.wait()
            self._save_model()

    def state(self) -> dict[str, Any]:
        """Of the weights those that are trained: the others are the model's that was begun with."""
        return {
            "step": self.step,
            "model": {name: p for p, name in self.policy.names().items()},
            "learner": self.training_step.learner.state_dict(),
            **self.training_step.state_dict(),
        }

    def resume(self) -> bool:
        """Goes on from the newest checkpoint, if there is one; what was told of later steps is forgotten."""
        newest = checkpoints.latest(self.folder)
        if newest is not None:
            try:
                self.training_step.load_state_dict(self._put(self._read(newest)))
            except KeyError as error:
                raise checkpoints.CheckpointError(
                    f"{newest} lacks {error}: delete it to go on from an earlier one"
                ) from None
        if self.processes.main:
            self.run.forget_after(self.step)
            checkpoints.forget_unfinished(self.folder)
        return newest is not None

    def warm_from(self, run: Path) -> None:
        """Begins where another run's warm-up ended, with its weights and optimizer."""
        path = checkpoints.path_of(run / "checkpoints", self._warmup)
        if not checkpoints.is_whole(path):
            raise FileNotFoundError(
                f"train.warm_from={run}: there is no checkpoint of the end of a warm-up of "
                f"train.warmup_steps={self._warmup} (there: {checkpoints.names(path.parent)}); "
                "a run with train.steps=0 leaves one"
            )
        try:
            self._put(self._read(path))
        except OtherWeights as error:
            raise OtherWeights(f"train.warm_from={run} has trained {error}") from None

    def _put(self, state: dict[str, Any]) -> dict[str, Any]:
        """Weights, optimizer and step of a checkpoint; the rest of what it holds."""
        self.policy.put_trained(state["model"])
        self.training_step.learner.load_state_dict(state["learner"])
        self.step = int(state["step"])
        return state

    def _read(self, path: Path, only: str = "") -> dict[str, Any]:
        """Laid out as the run's own weights are."""
        own = {name: parameter for parameter, name in self.policy.names().items()}
        return checkpoints.load(path, own, rank=self.processes.rank, only=only)
