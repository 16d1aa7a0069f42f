"""asft (arXiv 2509.23753): dft + lambda KL(ref || pi), over the whole vocabulary, a mean over tokens.

`ref` is the policy as it was when mixing began. The public code's direction of the KL is taken.
"""

from __future__ import annotations

import torch

from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.methods.imitation import dft

NEEDS = ("reference_kl",)


def loss(tokens: Tokens, totals: Totals, lam: float = 0.1) -> torch.Tensor:
    return dft.loss(tokens, totals) + lam * tokens.need_measured().sum() * totals.per_token
