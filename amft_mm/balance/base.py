"""What a balance is, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from envs import contract


@dataclass(frozen=True)
class Seen:
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

    def update(self, seen: Seen) -> dict[str, float]:
        """Takes in what was seen; returns what is worth logging."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def share(name: str, value: float) -> float:
    return contract.share(f"balance: {name}", value)
