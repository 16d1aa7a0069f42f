"""relift (ReLIFT, arXiv 2506.07527): explores, and imitates what exploration could not do.

Demonstrations of task instances whose whole group failed wait in a buffer, the newest first. Once it holds
`size`, the first `size` of them are imitated in an update of its own, after the step's and with an optimizer
of its own. The official scripts buffer as many as a step has task instances, and give both optimizers the
same learning rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amft_mm.methods.guidance.base import Choice, Group, Guidance, Place, success_rate
from amft_mm.runs.processes import ProcessGroup
from envs.contract import whole_number


class ReLIFT(Guidance):
    shown = True
    sets_mu = imitates_afterwards = True

    def __init__(self, size: int = 16) -> None:
        self._size = whole_number("guidance.size", size, 1, 10**6)
        self._buffer: list[Place] = []  # the same in every process

    def choose(self, groups: Sequence[Group], processes: ProcessGroup) -> Choice:
        explored = [t for _, members in groups for t in members]
        lost = [place for place, members in groups if success_rate(members) == 0]
        self._buffer = sorted(processes.gather(lost)) + self._buffer
        if len(self._buffer) < self._size:
            return Choice(explored, [], 0.0)
        now, self._buffer = self._buffer[: self._size], self._buffer[self._size :]
        return Choice(explored, [], 0.0, afterwards=processes.mine(now))

    def state_dict(self) -> dict[str, Any]:
        return {"buffer": self._buffer}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._buffer = [(part, row) for part, row in state["buffer"]]
