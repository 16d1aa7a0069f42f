"""Exploration losses: functions of rollouts' tokens and their advantages, one a file.

    loss(tokens, totals, **settings) -> scalar, to be summed over micro-batches and processes

What the advantages are is the business of amft_mm/learning/credit.py. `EXPLORATION` names their files; a
new one is a file with a `loss`, perhaps NEEDS (amft_mm/methods/objectives.py), and a line here; one outside
the suite is named MODULE:loss.
"""

from types import ModuleType
from typing import Any

from amft_mm.config.plugins import loss_of
from amft_mm.methods.exploration import (
    cispo,
    dapo,
    dppo,
    dr_grpo,
    gmpo,
    grpo,
    gspo,
    lco,
    luffy,
    nft,
    ppo,
    prefix_rft,
    reinforce,
    rl_plus,
    sapo,
    srft,
    trapo,
    uft,
)

EXPLORATION: dict[str, ModuleType] = {
    "reinforce": reinforce,
    "rloo": reinforce,
    "maxrl": reinforce,
    "grpo": grpo,
    "dr_grpo": dr_grpo,
    "dapo": dapo,
    "gspo": gspo,
    "gmpo": gmpo,
    "sapo": sapo,
    "cispo": cispo,
    "dppo": dppo,
    "ppo": ppo,
    "nft": nft,
    "lco": lco,
    # These also learn from what an expert wrote in rollouts (amft_mm/methods/guidance/).
    "luffy": luffy,
    "srft": srft,
    "prefix_rft": prefix_rft,
    "trapo": trapo,
    "uft": uft,
    "rl_plus": rl_plus,
}


def exploration(name: str) -> Any:
    """The module of a loss."""
    return loss_of("method.exploration", name, EXPLORATION)
