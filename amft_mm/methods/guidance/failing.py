"""failing: demonstrations are chosen by what the model cannot do, and the balance weighs them as ever.

A step explores the task instances of its demonstrations, and imitates those whose whole group failed; where
none did, it only explores. Where the balance explores nothing, nobody is seen to fail, and the step imitates
what the run's data has next. An own combination: the choice is relift's and hpt's, the mix is one of
gradients, so that any balance, amft's too, may set mu.
"""

from __future__ import annotations

from collections.abc import Sequence

from amft_mm.methods.guidance.base import Choice, Group, Guidance, success_rate
from amft_mm.runs.processes import ProcessGroup


class Failing(Guidance):
    shown = True

    def choose(self, groups: Sequence[Group], processes: ProcessGroup) -> Choice:
        explored = [t for _, members in groups for t in members]
        lost = [place for place, members in groups if success_rate(members) == 0]
        any_played, any_lost = processes.sum(len(groups), len(lost))
        if not any_played:
            return Choice(explored)
        return Choice(explored, lost, None if any_lost else 0.0)
