"""Exploration losses: functions of rollouts' tokens and their advantages, one a file.

    loss(tokens, totals, **settings) -> scalar, to be summed over micro-batches and processes

What the advantages are is the business of amft_mm/credit.py. `EXPLORATION` names the losses; a new one
is a file with a `loss` and a line here.
"""

from collections.abc import Callable
from typing import Any

from amft_mm.exploration import dapo, dr_grpo, grpo, gspo, ppo, reinforce
from envs.contract import one_of

EXPLORATION: dict[str, Callable[..., Any]] = {
    "reinforce": reinforce.loss,
    "rloo": reinforce.loss,
    "grpo": grpo.loss,
    "dr_grpo": dr_grpo.loss,
    "dapo": dapo.loss,
    "gspo": gspo.loss,
    "ppo": ppo.loss,
}


def exploration(name: str) -> Callable[..., Any]:
    return EXPLORATION[one_of("exploration", name, tuple(EXPLORATION))]
