"""Who sets mu, the share of imitation: `balance(name, steps, settings)` gives a Balance.

    balance.mu(step)      the mix of a step, counted from 0 at the end of the warm-up
    balance.learns        whether it wants to be told what mu did
    balance.update(seen)  is told, at each step, before its mu is asked for
    balance.weights(step, gradients)   where it has that, decides on seeing both gradients

A new one is a file with a class and a line in `BALANCES`, or MODULE:CLASS outside the suite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from agents.plugins import make
from amft_mm.methods.balance import (
    amft,
    amft_paper,
    cosine_gate,
    gradnorm,
    mgda,
    pcgrad,
    sasr,
    schedules,
)
from amft_mm.methods.balance.base import Balance, Gradients, Signal, Weighing

BALANCES: dict[str, Callable[..., Balance]] = {
    "fixed": schedules.fixed,
    "sft": schedules.sft,
    "rl": schedules.rl,
    "sft_then_rl": schedules.sft_then_rl,
    "linear": schedules.linear,
    "cosine": schedules.cosine,
    "chord_mu": schedules.chord_mu,
    "gradnorm": gradnorm.GradNorm,
    "pcgrad": pcgrad.PCGrad,
    "mgda": mgda.MGDA,
    "cosine_gate": cosine_gate.CosineGate,
    "sasr": sasr.SASR,
    "amft": amft.AMFT,
    "amft_paper": amft_paper.AMFTPaper,
}

__all__ = ["BALANCES", "Balance", "Gradients", "Signal", "Weighing", "balance"]


def balance(name: str, steps: int, settings: dict[str, Any]) -> Balance:
    return cast(Balance, make("balance", name, BALANCES, {"steps": steps} | settings))
