"""pcgrad (arXiv 2001.06782): where the gradients conflict, each loses its part along the other.

g_R . g_S < 0:  g = 1/2 [ g_R - (g_R . g_S / |g_S|^2) g_S ] + 1/2 [ g_S - (g_R . g_S / |g_R|^2) g_R ]
otherwise       g = 1/2 g_R + 1/2 g_S
"""

from __future__ import annotations

from amft_mm.methods.balance.base import Gradients, Meeting


class PCGrad(Meeting):
    def weights(self, step: int, gradients: Gradients) -> tuple[float, float]:
        conflict = min(gradients.product, 0.0)
        if not conflict:
            return 0.5, 0.5
        explored, imitated = gradients.exploration_norm**2, gradients.imitation_norm**2
        return 0.5 * (1 - conflict / explored), 0.5 * (1 - conflict / imitated)
