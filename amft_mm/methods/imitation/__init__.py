"""Imitation losses: functions of demonstrations' tokens, one a file.

    loss(tokens, totals, **settings) -> scalar, to be summed over micro-batches and processes

`IMITATION` names their files; a new one is a file with a `loss`, perhaps NEEDS
(amft_mm/methods/objectives.py), and a line here; one outside the suite is named MODULE:loss.
"""

from types import ModuleType
from typing import Any

from amft_mm.config.plugins import loss_of
from amft_mm.methods.imitation import asft, chord_phi, dft, pear, sed, sft, shaped, trsft

IMITATION: dict[str, ModuleType] = {
    "sft": sft,
    "dft": dft,
    "asft": asft,
    "trsft": trsft,
    "shaped": shaped,
    "chord_phi": chord_phi,
    "sed": sed,
    "pear": pear,
}


def imitation(name: str) -> Any:
    """The module of a loss."""
    return loss_of("imitation", name, IMITATION)
