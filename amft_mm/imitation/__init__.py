"""Imitation losses: functions of demonstrations' tokens, one a file.

    loss(tokens, totals, **settings) -> scalar, to be summed over micro-batches and processes

`IMITATION` names their files; a new one is a file with a `loss`, perhaps NEEDS (amft_mm/objectives.py),
and a line here.
"""

from types import ModuleType

from amft_mm.imitation import asft, chord_phi, dft, pear, sed, sft, shaped, trsft
from envs.contract import one_of

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


def imitation(name: str) -> ModuleType:
    return IMITATION[one_of("imitation", name, tuple(IMITATION))]
