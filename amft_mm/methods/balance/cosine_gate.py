"""cosine_gate: imitates, with weight mu, only where that does not go against exploration.

    g_S . g_R >= 0   (1 - mu) g_R + mu g_S
    otherwise        g_R

Own reading of gating by gradients' cosine (Du et al., arXiv 1812.02224): at a conflict the step is
exploration's alone, and whole, so that mu = 1 leaves a step there too.
"""

from __future__ import annotations

from amft_mm.methods.balance.base import Gradients, Meeting, share


class CosineGate(Meeting):
    def __init__(self, steps: int, mu: float = 0.5) -> None:
        self._mu = share("mu", mu)

    def mu(self, step: int) -> float:
        return self._mu

    def weights(self, step: int, gradients: Gradients) -> tuple[float, float]:
        return (1 - self._mu, self._mu) if gradients.product >= 0 else (1.0, 0.0)
