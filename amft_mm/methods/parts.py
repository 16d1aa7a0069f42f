"""What has a mu of its own: a whole step, or each of the environments or difficulties that it is made of.

`mixed_parts(config)` gives one part, or with `method.mu_per=env` one for each environment, with
`method.mu_per=difficulty` one for each of `DIFFICULTIES`: each with its own balance, and with its own
derivative in the optimizer's step (amft_mm/learning/mixed_step.py).

How hard a task instance is says the success of its group in this very step. Demonstrations have no success
rate; so a step plays the task instances of its demonstrations (`method.guidance.name=shown`), and each
difficulty imitates those of its own instances. An earlier play would be of other weights, and of fresh
instances there is none. So it plays also where the balance only imitates. A part's weight is its share of the
step's groups.

That groups are put together by what came of them does not bend a look: of a group of n with k successes
(rewards of 0 and 1) the expected product with z is k (n - k) / (n (n - 1) P (1 - P)) times that of the
gradient of P, the instance's success, so never of the wrong sign. A group that fails as one shows nothing,
and the mu of an instance like it is learnt from those that failed nearly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from amft_mm.config.settings import options_of, parts_of
from amft_mm.learning.mixed_step import WHOLE
from amft_mm.methods.balance import Balance, balance
from envs.contract import share

DIFFICULTIES = {"hard": (0.0, 1 / 3), "middle": (1 / 3, 2 / 3), "easy": (2 / 3, math.inf)}
"""By the success of a task instance's group."""


@dataclass
class Scales:
    """The usual size of each gradient, so that mu means the same whatever losses are mixed."""

    keep: float = 0.9
    exploration: float | None = None
    imitation: float | None = None
    slope: float = 0.0
    """d imitation / d mu."""

    def update(self, exploration_norm: float, imitation_norm: float) -> float:
        """What imitation is to be multiplied by to be as large as exploration."""
        self.exploration = self._mean(self.exploration, exploration_norm)
        self.imitation = self._mean(self.imitation, imitation_norm)
        if not self.exploration or not self.imitation:
            return 1.0
        return self.exploration / self.imitation

    def follow(self, slope: float, rho: float) -> float:
        """How what `update` gave changes with mu, as a share of it, where the norm of imitation's gradient
        has now changed by `slope`; what was before has faded to `rho` of itself. Exploration's is taken as
        given."""
        self.slope = self.keep * rho * self.slope + (1 - self.keep) * slope
        return -self.slope / self.imitation if self.imitation else 0.0

    def _mean(self, before: float | None, now: float) -> float | None:
        if not (math.isfinite(now) and now > 0):
            return before
        return now if before is None else self.keep * before + (1 - self.keep) * now


@dataclass
class MixedPart:
    name: str
    weight: float
    """Its share of the step's gradient, where all parts are there."""
    only: str | None
    """The environment; None is all of them."""
    balance: Balance
    scales: Scales
    success: tuple[float, float] | None = None
    """Of its task instances: from the first up to, but not, the second; None is any."""

    def has(self, env: str, success: float | None) -> bool:
        """Whether a task instance is of this part; `success` None is not known."""
        if self.only not in (None, env):
            return False
        if self.success is None:
            return True
        low, high = self.success
        return success is not None and low <= success < high

    def mu(self, number: int) -> float:
        """Of a step, by a balance that may be somebody's own."""
        name, mu = f"{type(self.balance).__name__}.mu({number})", self.balance.mu(number)
        try:
            return share(name, mu)
        except TypeError:
            raise ValueError(f"{name}={mu!r:.100} must be a number from 0 to 1") from None

    def explores(self, number: int) -> bool:
        return self.balance.needs_both or self.mu(number) < 1.0

    def plays(self, number: int) -> bool:
        """Whether it needs rollouts: to explore, or to be told which task instances are its own."""
        return self.success is not None or self.explores(number)

    def state_dict(self) -> dict[str, Any]:
        return {"balance": self.balance.state_dict(), "scales": vars(self.scales)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.balance.load_state_dict(state["balance"])
        self.scales = Scales(**state["scales"])


def mixed_parts(config: DictConfig) -> list[MixedPart]:
    def part(
        name: str, weight: float, only: str | None, success: tuple[float, float] | None = None
    ) -> MixedPart:
        settings = config.method.balance
        made = balance(settings.name, config.train.steps, options_of(settings))
        return MixedPart(name, weight, only, made, Scales(), success)

    if config.method.mu_per == "env":
        return [part(env.name, env.share, env.name) for env in parts_of(config.env)]
    if config.method.mu_per == "difficulty":
        share = 1 / len(DIFFICULTIES)
        return [part(name, share, None, success) for name, success in DIFFICULTIES.items()]
    return [part(WHOLE, 1.0, None)]


FURTHEST = ("policy/moved", "rollout/ratio_error")


def together(parts: list[MixedPart], figures: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of each part by name, and means over them, or sums, or the furthest; those of a single part as
    they are. A loss is a mean over those that learnt from something."""
    if len(parts) == 1:
        return dict(figures[0])
    row: dict[str, Any] = {}
    for part, own in zip(parts, figures, strict=True):
        row |= {f"{name}/{part.name}": value for name, value in own.items()}
    shares = [own.get("share", part.weight) for part, own in zip(parts, figures, strict=True)]
    there = [(share, own) for share, own in zip(shares, figures, strict=True) if share > 0]
    for name in {name: None for _, own in there for name in own if name != "share"}:
        values = [(share, own[name]) for share, own in there if own.get(name) is not None]
        if name.startswith("tokens/"):
            row[name] = sum(value for _, value in values)
        elif name in FURTHEST and values:
            row[name] = max(value for _, value in values)
        elif len(values) == len(there) or (values and name.startswith("loss/")):
            whole = sum(share for share, _ in values)
            row[name] = sum(share * value for share, value in values) / whole
    return row
