"""What does not go together, or would do nothing without a word, is refused before anything starts.

    refuse_contradictions(config)      ValueError: what was asked for, why not, what to do

What combines with what is told as a table in docs/architecture.md.
"""

from __future__ import annotations

from omegaconf import DictConfig

from amft_mm.methods.combinations import demonstrating, learning, playing
from amft_mm.methods.option_values import refused_values
from amft_mm.methods.options import unknown_options


def refuse_contradictions(config: DictConfig) -> None:
    for refused in (
        learning.idle,
        playing.limited,
        unknown_options,
        refused_values,
        playing.engined,
        demonstrating.guided,
        demonstrating.unimitated,
        demonstrating.streamed,
        learning.rivalled,
        learning.sharded,
        learning.credited,
        playing.drawn_again,
        learning.updated,
        playing.scheduled,
        learning.climbed,
        learning.tried,
        playing.ahead,
        learning.without_exploration,
        learning.without_learning,
        learning.validated,
        demonstrating.demonstrated,
        learning.mixed,
        playing.compared,
        learning.unseen,
        playing.shown,
    ):
        for problem in refused(config):
            raise ValueError(problem)
