"""Imitation losses: functions of demonstrations' tokens, one a file.

    loss(tokens, totals, **settings) -> scalar, to be summed over micro-batches and processes

`IMITATION` names them; a new one is a file with a `loss` and a line here.
"""

from collections.abc import Callable
from typing import Any

from amft_mm.imitation import dft, sft, trsft
from envs.contract import one_of

IMITATION: dict[str, Callable[..., Any]] = {
    "sft": sft.loss,
    "dft": dft.loss,
    "trsft": trsft.loss,
}


def imitation(name: str) -> Callable[..., Any]:
    return IMITATION[one_of("imitation", name, tuple(IMITATION))]
