"""A balance of one's own: imitation as a thermostat of entropy.

    mu <- clip(mu + gain (entropy - target), 0, 1)

A model that is unsure of what to say (high entropy) imitates more; one that has become sure explores.
"""

from typing import Any

from amft_mm.methods.balance import Balance, Signal


class Thermostat(Balance):
    learns = True  # it wants to be told what each step looked like

    def __init__(
        self, steps: int, start: float = 0.5, target: float = 0.1, gain: float = 0.5
    ) -> None:
        if not 0 <= start <= 1:
            raise ValueError(f"thermostat: start={start} must be from 0 to 1")
        self._mu, self._target, self._gain = start, target, gain

    def mu(self, step: int) -> float:
        return self._mu

    def update(self, signal: Signal) -> dict[str, float]:
        if signal.entropy is None:
            return {}
        above = signal.entropy - self._target
        self._mu = min(max(self._mu + self._gain * above, 0.0), 1.0)
        return {"entropy_above_target": above}

    def state_dict(self) -> dict[str, Any]:  # so that resume=true goes on where the run was
        return {"mu": self._mu}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._mu = state["mu"]
