"""Balances that are functions of the step alone.

fixed        mu
sft, rl      1, 0
sft_then_rl  1 up to step `switch`, then 0
linear       from `start` to `end` in a straight line
cosine       from `start` to `end` along half a cosine
chord_mu     (CHORD, arXiv 2508.11408) from 0 up to `start` in a straight line over the first `warmup` of the
             steps, then to `end` along half a cosine
"""

from __future__ import annotations

import math
from collections.abc import Callable

from amft_mm.methods.balance.base import Balance, share


class Schedule(Balance):
    def __init__(self, mu_at: Callable[[int], float]) -> None:
        self._mu_at = mu_at

    def mu(self, step: int) -> float:
        return self._mu_at(step)


def fixed(steps: int, mu: float = 0.5) -> Schedule:
    value = share("mu", mu)
    return Schedule(lambda step: value)


def sft(steps: int) -> Schedule:
    return Schedule(lambda step: 1.0)


def rl(steps: int) -> Schedule:
    return Schedule(lambda step: 0.0)


def sft_then_rl(steps: int, switch: int | None = None) -> Schedule:
    """`switch` None is halfway."""
    at = steps // 2 if switch is None else switch
    return Schedule(lambda step: 1.0 if step < at else 0.0)


def linear(steps: int, start: float = 1.0, end: float = 0.0) -> Schedule:
    first, last = share("start", start), share("end", end)
    return Schedule(lambda step: first + (last - first) * _done(step, steps))


def cosine(steps: int, start: float = 1.0, end: float = 0.0) -> Schedule:
    first, last = share("start", start), share("end", end)
    return Schedule(
        lambda step: last + (first - last) * 0.5 * (1 + math.cos(math.pi * _done(step, steps)))
    )


def chord_mu(steps: int, start: float = 0.9, end: float = 0.05, warmup: float = 0.05) -> Schedule:
    share("warmup", warmup)
    rise = round(warmup * steps)
    falling = cosine(steps - rise, start, end)
    return Schedule(
        lambda step: start * (step + 1) / rise if step < rise else falling.mu(step - rise)
    )


def _done(step: int, steps: int) -> float:
    return min(1.0, step / max(1, steps - 1))
