"""norm_matching: both gradients made equally large at every step, then their mean.

    w_R = |g_S| / (|g_R| + |g_S|),  w_S = |g_R| / (|g_R| + |g_S|)

(`method.balanced=true` does the same to running means of the norms.) Where one is 0, a half of each. It is
not GradNorm of Chen et al. (arXiv 1711.02257), which learns weights by how fast each loss falls.
"""

from __future__ import annotations

from amft_mm.methods.balance.base import Gradients, Meeting


class NormMatching(Meeting):
    def weights(self, step: int, gradients: Gradients) -> tuple[float, float]:
        explored, imitated = gradients.exploration_norm, gradients.imitation_norm
        if not explored * imitated > 0:
            return 0.5, 0.5
        return imitated / (explored + imitated), explored / (explored + imitated)
