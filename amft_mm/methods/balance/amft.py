"""amft: mu is learnt by climbing the utility, as far as the evidence carries and no further.

A look is d U / d mu along z, as a sum over task instances: x_1 + ... + x_n = s, each x divided by |z|. Were
there nothing to be seen, each x would be as likely positive as negative, and v = x_1^2 + ... + x_n^2 is the
variance of s, whatever the gradients' size. So over looks

    S <- k S + s,  V <- k^2 V + v          with k = 1 - 1 / memory
    evidence = S / sqrt(c V)               in standard errors
    |evidence| > doubt:  logit(mu) <- logit(mu) + rate sign(S),  then  S <- f S,  V <- f^2 V

All task instances weigh alike: that is their mean by inverse variance, and one that stands out far makes
evidence smaller, not larger. A move of `rate` leaves mu between 0.3 and 0.7 if it started at 0.5, and takes
f = exp(-rate / stale) off what was seen before, since that was seen at another mix: evidence for staying
on course is soon made up of new looks, and a best mix that changes is followed. Where mu is at its
bound f still applies, so that it can come back.

Looks share most of z with those before them, and with it the noise of the gradients that it is made of. They
then are alike from one to the next, and c says how many of them make one that counts: with h the horizon,
r = s less its mean so far, and P the sum of earlier r, each times h^age,

    c = 1 + (1 + h) / h (sum of r P / sum of v),  at least 1 and at most 1.5, and 1 where h = 0

which is half of what the autocovariance would say if it were known and not estimated. A best mix that changes
makes looks alike as well, and must not be taken for noise: hence the bound.

Where a step shows nothing (every group failed, or succeeded, as one) nothing moves. The constants are chosen
by simulation (docs/controller.md): without a signal 3 % of the runs leave 0.3 to 0.7 within 120 looks, and
with one of half a standard error a look 94 % are beyond 0.9 within 75.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from amft_mm.methods.balance.base import Learnt, Signal

MOST_FOR_ONE = 1.5


@dataclass
class Evidence:
    """What looks add up to; each figure as the module's docstring names it."""

    sum: float = 0.0
    variance: float = 0.0
    looks: float = 0.0
    all: float = 0.0
    """Of s, and of v below, with k alone: for the mean and the likeness of looks."""
    squares: float = 0.0
    earlier: float = 0.0
    alike: float = 0.0

    def add(self, s: float, v: float, k: float, horizon: float) -> None:
        rest = s - self.all / self.looks if self.looks else 0.0
        self.alike = k * self.alike + rest * self.earlier
        self.earlier = horizon * (self.earlier + rest)
        self.all, self.looks = k * self.all + s, k * self.looks + 1
        self.squares = k * self.squares + v
        self.sum, self.variance = k * self.sum + s, k * k * self.variance + v

    def in_errors(self, horizon: float) -> float:
        if not self.variance > 0:
            return 0.0
        likeness = (1 + horizon) / horizon * self.alike / self.squares if horizon > 0 else 0.0
        looks_for_one = min(max(1.0, 1.0 + likeness), MOST_FOR_ONE)
        return self.sum / math.sqrt(looks_for_one * self.variance)

    def fade(self, keep: float) -> None:
        self.sum, self.variance = keep * self.sum, keep * keep * self.variance


class AMFT(Learnt):
    def __init__(
        self,
        steps: int,
        start: float = 0.5,
        rate: float = 0.8,
        doubt: float = 2.8,
        memory: float = 100.0,
        stale: float = 3.0,
        lowest: float = 0.02,
        highest: float = 0.98,
    ) -> None:
        """`memory` counts looks, `rate` and `stale` are in logits of mu."""
        if not memory > 1:
            raise ValueError(f"balance: memory={memory} must be above 1")
        for name, value in (("rate", rate), ("stale", stale)):
            if not value > 0:
                raise ValueError(f"balance: {name}={value} must be above 0")
        if not doubt >= 0:
            raise ValueError(f"balance: doubt={doubt} must be 0 or above")
        super().__init__(start, lowest, highest)
        self._rate, self._doubt, self._stale = rate, doubt, stale
        self._keep = 1 - 1 / memory
        self._evidence = Evidence()

    def update(self, signal: Signal) -> dict[str, float]:
        if signal.product is None or not signal.error * signal.z_norm > 0:
            return {}
        evidence, scale = self._evidence, signal.instances / signal.z_norm
        s, v = signal.product * scale, (signal.error * scale) ** 2
        evidence.add(s, v, self._keep, signal.horizon)
        found, moved = evidence.in_errors(signal.horizon), 0.0
        if abs(found) > self._doubt:
            moved = self.move(math.copysign(self._rate, found))
            evidence.fade(math.exp(-self._rate / self._stale))
        return {
            "meta/look": signal.product / signal.error,
            "meta/evidence": found,
            "meta/moved": moved,
        }

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "evidence": asdict(self._evidence)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._evidence = Evidence(**state["evidence"])
