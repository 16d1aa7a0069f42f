"""Balances that are functions of the step alone.

fixed        mu
sft, rl      1, 0
sft_then_rl  1 up to step `switch`, then 0
linear       from `start` to `end` in a straight line
cosine       from `start` to `end` along half a cosine
chord_mu     (CHORD, arXiv 2508.11408) from 0 up to `start` in a straight line over `warmup` steps, then to
             `end` along half a cosine over `decay` steps, and stays there; by default its authors' numbers
             (Trinity-RFT, mix_chord.yaml: 0 and 200), whatever the length of the run
"""

from __future__ import annotations

import math
from collections.abc import Callable

from amft_mm.methods.balance.base import Balance, share
from envs.contract import whole_number


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


def chord_mu(
    steps: int, start: float = 0.9, end: float = 0.05, warmup: int = 0, decay: int = 200
) -> Schedule:
    first, last = share("start", start), share("end", end)
    rise = whole_number("balance.warmup", warmup, 0, 10**9)
    fall = whole_number("balance.decay", decay, 0, 10**9)

    def mu_at(step: int) -> float:
        if step < rise:
            return first * step / rise
        if step >= rise + fall:
            return last
        return last + (first - last) * 0.5 * (1 + math.cos(math.pi * (step - rise) / fall))

    return Schedule(mu_at)


def _done(step: int, steps: int) -> float:
    return min(1.0, step / max(1, steps - 1))
