"""Every setting of every command: type, range, allowed values and a sentence. Defaults are in configs/*.yaml.

    SCHEMAS["train"]    what configs/train.yaml is checked by, and what `amft-mm train --help` is made of

A file for each command, and one for each group of settings that several commands have or that is large.
Sections with `others=True` hold what their own parts check: a method's options, an environment's keyword
arguments, an engine's.
"""

from __future__ import annotations

from amft_mm.config.schema.compare import Compare
from amft_mm.config.schema.demos import Demos
from amft_mm.config.schema.evaluate import Evaluate
from amft_mm.config.schema.pretrain import Pretrain
from amft_mm.config.schema.train import Train

SCHEMAS: dict[str, type] = {
    "train": Train,
    "evaluate": Evaluate,
    "demos": Demos,
    "compare": Compare,
    "pretrain": Pretrain,
}
