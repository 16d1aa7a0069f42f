"""What a balance is, and what it is told."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from amft_mm.learning.gradients import Gradients
from envs import contract


@dataclass(frozen=True)
class Signal:
    """A look at what mu did: `product` is d U / d mu = grad U . z, where z is the derivative by mu of the
    weights and U the utility; None where there was nothing to be seen, as where every episode failed."""

    step: int
    product: float | None = None
    """A mean over task instances."""
    error: float = 0.0
    """Its standard error, from these instances alone."""
    instances: int = 1
    z_norm: float = 0.0
    horizon: float = 0.0
    """What an effect of a mix still counts in z a step later: so alike is z from look to look."""
    entropy: float | None = None
    """Mean entropy of the tokens that the model wrote, of what the step's first update explores."""

    @property
    def scaled(self) -> float | None:
        """The product over the root mean square of the instances' own: from -1 to 1, free of scales."""
        if self.product is None or not self.error > 0:
            return None
        return self.product / (self.error * math.sqrt(self.instances))


class Balance:
    """By itself it is told nothing and remembers nothing; one of your own says at least `mu`."""

    learns = False
    """Whether it wants to be told what mu did: then both gradients are taken at every step."""

    tries: tuple[float, ...] = ()
    """Mixes of which it wants to know, at each step, what would come of them."""

    trial_tasks = 0
    """On how many held-out task instances."""

    measures_noise = False
    """Whether `weigh` is to be told how noisy both gradients are."""

    def mu(self, step: int) -> float:
        raise NotImplementedError(f"the balance {type(self).__name__} has to define mu(step)")

    def update(self, signal: Signal) -> dict[str, float]:
        """Takes in what a step showed; returns what is worth logging."""
        return {}

    @property
    def needs_both(self) -> bool:
        """Whether both gradients are taken at every step, whatever mu is."""
        return self.learns or bool(self.tries) or self.measures_noise

    def tried(self, worth: Sequence[float]) -> dict[str, float]:
        """Is told the success after each of `tries`, before its mu is asked for; what is worth logging."""
        return {}

    def weigh(
        self, step: int, mu: float, gradients: Callable[[], Gradients]
    ) -> tuple[float, float]:
        """The last word, when both gradients are there: (mu, the mix's share of the step)."""
        return mu, 1.0

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Learnt(Balance):
    """A balance that learns mu by its logit, between bounds."""

    learns = True

    def __init__(self, start: float, lowest: float, highest: float) -> None:
        self._bounds = logit_bounds(lowest, highest)
        self._logit = logit(min(max(share("start", start), lowest), highest))

    def mu(self, step: int) -> float:
        return sigmoid(self._logit)

    def move(self, by: float) -> float:
        """How far it went, up to a bound."""
        before, (low, high) = self._logit, self._bounds
        self._logit = min(high, max(low, before + by))
        return self._logit - before

    def state_dict(self) -> dict[str, Any]:
        return {"logit": self._logit}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._logit = state["logit"]


class Meeting(Balance):
    """A balance that decides on seeing both gradients; its `mu` is a guess beforehand."""

    def __init__(self, steps: int) -> None:
        pass

    def mu(self, step: int) -> float:
        return 0.5

    @property
    def needs_both(self) -> bool:
        return True

    def weights(self, step: int, gradients: Gradients) -> tuple[float, float]:
        """Of exploration and of imitation."""
        raise NotImplementedError

    def weigh(
        self, step: int, mu: float, gradients: Callable[[], Gradients]
    ) -> tuple[float, float]:
        explored, imitated = self.weights(step, gradients())
        return imitated / (explored + imitated), explored + imitated


def share(name: str, value: float) -> float:
    return contract.share(f"balance: {name}", value)


def logit(share_: float) -> float:
    return math.log(share_ / (1 - share_))


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def logit_bounds(lowest: float, highest: float) -> tuple[float, float]:
    if not 0 < lowest < highest < 1:
        raise ValueError(
            f"balance: lowest={lowest} and highest={highest} must be between 0 and 1, in that order"
        )
    return logit(lowest), logit(highest)
