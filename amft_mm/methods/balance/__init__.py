"""Who sets mu, the share of imitation: `balance(name, steps, settings)` gives a Balance.

    balance.mu(step)      the mix of a step, counted from 0 at the end of the warm-up
    balance.learns        whether it wants to be told what mu did
    balance.update(signal)  is told, at each step, before its mu is asked for
    balance.tries, balance.tried(worth)  mixes that it wants to be tried, and what came of each
    balance.weigh(step, mu, gradients)   has the last word when both gradients are there

A new one is a file with a subclass of `Balance` and a line in `BALANCES`, or MODULE:CLASS outside the suite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from agents.plugins import make
from amft_mm.config.renamed import refuse_old_name
from amft_mm.methods.balance import (
    amft,
    amft_ema,
    amft_paper,
    cosine_gate,
    gac,
    mgda,
    mu_oracle,
    norm_matching,
    pcgrad,
    sasr,
    schedules,
)
from amft_mm.methods.balance.base import Balance, Gradients, Signal

BALANCES: dict[str, Callable[..., Balance]] = {
    "fixed": schedules.fixed,
    "sft": schedules.sft,
    "rl": schedules.rl,
    "sft_then_rl": schedules.sft_then_rl,
    "linear": schedules.linear,
    "cosine": schedules.cosine,
    "chord_mu": schedules.chord_mu,
    "norm_matching": norm_matching.NormMatching,
    "pcgrad": pcgrad.PCGrad,
    "mgda": mgda.MGDA,
    "cosine_gate": cosine_gate.CosineGate,
    "sasr": sasr.SASR,
    "gac": gac.GAC,
    "mu_oracle": mu_oracle.MuOracle,
    "amft": amft.AMFT,
    "amft_ema": amft_ema.AMFTEma,
    "amft_paper": amft_paper.AMFTPaper,
}

__all__ = ["BALANCES", "Balance", "Gradients", "Signal", "balance"]


def balance(name: str, steps: int, settings: dict[str, Any]) -> Balance:
    refuse_old_name("method.balance.name", name)
    return cast(
        Balance, make("method.balance", name, BALANCES, {"steps": steps} | settings, Balance)
    )
