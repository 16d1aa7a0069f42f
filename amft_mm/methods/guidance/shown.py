"""shown: the task instances of demonstrations are explored, and nothing of these is given.

For streams that read the demonstration beside what was explored (amft_mm/methods/imitation/sdft.py).
"""

from __future__ import annotations

from amft_mm.methods.guidance.base import Guidance


class Shown(Guidance):
    shown = True
