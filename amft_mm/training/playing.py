"""The rollouts of a step: drawn, played, divided and credited before its first update.

    minibatches = playing.minibatches(step, number, row, clock)    one for each update; figures go into `row`
    playing.moved()                                                the step was made: the weights are others
    playing.hand_over()                                            the engine answers by the present ones

All of a step's rollouts are credited, and looked at, before its first update: after it the weights are
another step away from those that played, and have seen them.

With `train.ahead` the episodes of the next step are played while this one is learnt from, by the weights that
this one began with; they are a step old when their turn comes (`rollout/staleness`), and looks weigh them by
how much likelier they have become. The step after one that `checkpoint.every` saves is played in turn, so
that a run goes on from there as if it had not stopped.
"""

from __future__ import annotations

import numpy as np
from omegaconf import DictConfig

from amft_mm.learning.example import Example
from amft_mm.methods.guidance import Group
from amft_mm.methods.parts import MixedPart
from amft_mm.training.assembly import Assembly
from amft_mm.training.clock import Clock
from amft_mm.training.companions import Row
from amft_mm.training.minibatches import Minibatch, divided


class Playing:
    def __init__(self, config: DictConfig, assembly: Assembly) -> None:
        self._train, self._saves_every = config.train, int(config.checkpoint.every)
        self._with = assembly
        self._moved, self._handed_over = 0, -1
        """Steps that were made here, and how many the engine knows of: at first of none, not even of the
        weights before them."""
        self._ahead: dict[int, int] = {}
        """The step that is played ahead, and of how many the weights knew that play it."""

    def minibatches(self, step: int, number: int, row: Row, clock: Clock) -> list[Minibatch]:
        """Draws task instances and plays them, where any part of the step learns from rollouts."""
        groups: list[Group] = []
        staleness = 0
        if self.explores(number):
            done = number / self._train.steps
            if step not in self._ahead:
                self.hand_over()
            staleness = self._moved - self._ahead.pop(step, self._moved)
            groups, played = self._with.sources.rollouts(step, self._with.guidance, done)
            row |= played
            if self._train.ahead:
                row["rollout/staleness"] = staleness
            self._with.failures.tell(step, row, self._with.sources.errors)
            clock("time/rollout")
            for companion in self._with.companions.values():
                row |= companion.played(step, groups, row)
                clock(companion.time)
            self._play_ahead(step + 1, number + 1)
        parts = self._divided(number, groups)
        chosen = [self._with.guidance.choose(part, self._with.processes) for part in parts]
        minibatches = [
            Minibatch(step, number, choice, part, (k, len(chosen)), staleness)
            for k, (choice, part) in enumerate(zip(chosen, parts, strict=True))
        ]
        for part in self._with.parts:
            if part.explores(number):
                self._credit_part(part, minibatches)
        clock("time/update")
        return minibatches

    def _divided(self, number: int, groups: list[Group]) -> list[list[Group]]:
        """A part for each update; where nothing is explored, demonstrations alone are divided."""
        count = self._train.minibatches
        if self.explores(number):
            return divided(groups, count, self._with.processes)
        return [[] for _ in range(max(1, min(count, self._train.demos)))]

    def _play_ahead(self, step: int, number: int) -> None:
        """Begins to play the next step's episodes, or lets the engine rest."""
        if self._train.ahead:
            self.hand_over()
        saved = (step - 1) % self._saves_every == 0
        if self._train.ahead and number < self._train.steps and not saved and self.explores(number):
            self._ahead[step] = self._moved
            self._with.sources.play_ahead(step)
        else:
            self._with.engine.rest()

    def moved(self) -> None:
        """A step was made."""
        self._moved += 1

    def hand_over(self) -> None:
        """Has the engine answer by the present weights, when it has ended what it is asked for."""
        self._with.sources.settle()
        if self._handed_over != self._moved:
            self._with.engine.refresh()
            self._handed_over = self._moved

    def _credit_part(self, part: MixedPart, minibatches: list[Minibatch]) -> None:
        """All of them at once, before the first update."""
        own = [one.explored(part, self._with.sources) for one in minibatches]
        places = {id(t.conversation): (k, t) for k, ts in enumerate(own) for t in ts}
        sizes = [[0.0, 0.0] for _ in self._with.sources.parts]
        for one in minibatches:
            one.examples[part.name] = []
        step, count, episodes = minibatches[0].step, len(minibatches), [t for ts in own for t in ts]
        examples = self._with.credit.examples(step, episodes, count)
        if self._train.epochs * count > 1:
            examples = self._comparable(examples)
        for example in examples:
            place, episode = places[id(example.conversation)]
            minibatches[place].examples[part.name].append(example)
            size = sizes[self._with.sources.number_of(episode)]
            if example.advantages is not None:
                size[0] += float(np.abs(example.advantages).mean())
                size[1] += 1
        summed = [self._with.processes.sum(*size) for size in sizes]
        self._with.sources.curriculum.credited({k: a / n for k, (a, n) in enumerate(summed) if n})

    def _comparable(self, examples: list[Example]) -> list[Example]:
        """With what the ratios of several updates are to be taken to."""
        if any(example.old_log_probs() is None for example in examples):
            raise ValueError(
                "several updates on the same rollouts need the log-probabilities that they were sampled "
                "with, and this engine does not tell them: train.minibatches=1 train.epochs=1"
            )
        objective = self._with.objectives.exploration
        if objective.correction is None:
            return examples
        return self._with.learner.scored(examples, objective)

    def explores(self, number: int) -> bool:
        """Whether rollouts are needed: to explore, to tell how hard is what a part imitates, or for a stream
        that is made of them."""
        streams = self._with.objectives.stream is not None
        return streams or any(part.plays(number) for part in self._with.parts)
