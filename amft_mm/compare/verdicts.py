"""How sure a difference has to be for a report to call it one: as sure as each look at it has to be.

A comparison that was looked at several times has one answer in all of its tables: where `Told apart`
(amft_mm/compare/sequential.py) says open, none says better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from amft_mm.compare.looks import level
from amft_mm.compare.power import Noise, surely
from amft_mm.compare.sequential import Pair
from amft_mm.compare.statistics import BySeed, Estimate

Between = tuple[str, str, str, str]
"""Environment, condition, method and baseline."""


@dataclass(frozen=True)
class Verdicts:
    looks: tuple[int, ...] = ()
    """After how many seeds."""
    told: Mapping[Between, Estimate] = field(default_factory=dict)
    """Of greedy success on the first split."""

    @property
    def level(self) -> float:
        """Of the interval of a difference."""
        return level(self.looks)

    def apart(
        self,
        mine: BySeed,
        theirs: BySeed,
        scatter: Noise | None,
        between: Between | None = None,
    ) -> Estimate | None:
        """`scatter` is that of all methods' seeds; `between` says whose greedy success on the first split it
        is."""
        if between and (known := self.told.get(between)):
            return known
        return surely(mine, theirs, scatter, self.level)


ONCE = Verdicts()


def by_looks(seen: Sequence[int], pairs: Sequence[Pair]) -> Verdicts:
    if len(seen) == 1:
        return ONCE
    return Verdicts(
        tuple(seen), {(p.env, p.condition, p.method, p.baseline): p.apart for p in pairs}
    )
