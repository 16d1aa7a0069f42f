"""What a balance is, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from amft_mm.learning.gradients import Gradients
from envs import contract


@dataclass(frozen=True)
class Signal:
    """A look at what mu did: `product` is grad U . z, where z is the derivative by mu of the weights
    and U the utility; None where there was nothing to be seen, as where every episode failed."""

    step: int
    product: float | None = None
    utility_norm: float = 0.0
    z_norm: float = 0.0
    entropy: float | None = None
    """Mean entropy of the tokens of this step's rollouts."""

    @property
    def cosine(self) -> float | None:
        """The product, free of scales."""
        both = self.utility_norm * self.z_norm
        return None if self.product is None or not both > 0 else self.product / both


class Balance(Protocol):
    learns: bool

    def mu(self, step: int) -> float: ...

    def update(self, seen: Signal) -> dict[str, float]:
        """Takes in what was seen; returns what is worth logging."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@runtime_checkable
class Weighing(Protocol):
    """A balance that decides when it sees both gradients; its `mu` is a guess beforehand."""

    def weights(self, step: int, gradients: Gradients) -> tuple[float, float]:
        """Of exploration and of imitation."""
        ...


class Unmoved:
    """A balance that is told nothing and remembers nothing."""

    learns = False

    def update(self, seen: Signal) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Meeting(Unmoved):
    """What balances that decide on seeing both gradients have in common."""

    def __init__(self, steps: int) -> None:
        pass

    def mu(self, step: int) -> float:
        return 0.5


def share(name: str, value: float) -> float:
    return contract.share(f"balance: {name}", value)
