"""log_success: U is the mean over unseen task instances of log P(success | x).

Where some of a group's episodes succeed, the gradient is the mean of grad log pi over these, weighed by how
much likelier each is than when older weights played it (train.ahead); what an expert began is no success of
the policy's own. Where there is none, the expert's episode is a witness: log P(success | x) >=
log pi(y* | x), and its gradient is used. So it asks for imitation where exploration is blind, and for
exploration where it can see.
"""

from __future__ import annotations

from agents.trajectory import by_task
from amft_mm.learning.example import Example
from amft_mm.methods.utility.base import MOST, Look, View, look_at, weighted
from envs.contract import whole_number


class LogSuccess:
    def __init__(self, every: int = 1) -> None:
        self.every = whole_number("utility.every", every, 1, MOST)

    def look(self, view: View) -> Look | None:
        if not view.is_due(self.every):
            return None
        played = [t for t in view.trajectories if not t.failed and t.conversation.answers]
        groups = list(by_task(played).values())
        won = [
            [Example(t.conversation) for t in members if t.success and not t.aided]
            for members in groups
        ]
        ratios = iter(view.ratios([example for shown in won for example in shown]))
        examples: list[Example] = []
        places: list[int] = []
        for number, shown in enumerate(won):
            counts = [next(ratios) for _ in shown]
            shown = [weighted(e, r / sum(counts)) for e, r in zip(shown, counts, strict=True)]
            if not shown:
                witness = view.sources.expert_of(groups[number][0])
                shown = [] if witness is None else [Example(witness.conversation)]
            examples += shown
            places += [number] * len(shown)
        learner, name = view.learner, view.part.name
        return look_at(learner, name, examples, places, len(groups), view.temperature)
