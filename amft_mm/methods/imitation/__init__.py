"""Imitation losses: functions of demonstrations' tokens, one a file.

    loss(tokens, totals, **settings) -> scalar, to be summed over micro-batches and processes

What learns from something else in the place of demonstrations has a `stream` too (streams.py). `IMITATION`
names their files; a new one is a file with a `loss`, perhaps NEEDS (amft_mm/methods/objectives.py), and a
line here; one outside the suite is named MODULE:loss.
"""

from types import ModuleType
from typing import Any

from amft_mm.config.plugins import loss_of
from amft_mm.methods.imitation import (
    asft,
    chord_phi,
    dft,
    echo,
    pear,
    sdft,
    sdpo,
    sed,
    sft,
    shaped,
    trsft,
)

IMITATION: dict[str, ModuleType] = {
    "sft": sft,
    "dft": dft,
    "asft": asft,
    "trsft": trsft,
    "shaped": shaped,
    "chord_phi": chord_phi,
    "sed": sed,
    "pear": pear,
    # Of what a step's rollouts have, instead of demonstrations.
    "sdpo": sdpo,
    "sdft": sdft,
    "echo": echo,
}


def imitation(name: str) -> Any:
    """The module of a loss."""
    return loss_of("method.imitation", name, IMITATION)
