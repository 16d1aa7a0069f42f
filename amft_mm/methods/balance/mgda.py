"""mgda (arXiv 1810.04650): the shortest mix of the two, along which neither loss rises.

mu = argmin |(1 - mu) g_R + mu g_S| = clip( (g_R - g_S) . g_R / |g_R - g_S|^2, 0, 1 )
"""

from __future__ import annotations

from amft_mm.methods.balance.base import Gradients, Meeting


class MGDA(Meeting):
    def weights(self, step: int, gradients: Gradients) -> tuple[float, float]:
        explored, imitated = gradients.exploration_norm**2, gradients.imitation_norm**2
        if not explored * imitated > 0:  # the shortest would be none at all
            return 0.5, 0.5
        apart = explored + imitated - 2 * gradients.product
        mu = (explored - gradients.product) / apart if apart > 0 else 0.5
        mu = min(1.0, max(0.0, mu))
        return 1 - mu, mu
