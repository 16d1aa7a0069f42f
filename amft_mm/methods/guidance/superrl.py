"""superrl (SuperRL, arXiv 2506.01096, version 2): what sees no reward is imitated.

A task instance none of whose episodes succeeded is imitated, each other one explored, and the loss is a
mean over task instances. That is the gate of hpt at 0; the two differ in how they explore: SuperRL by
plain ppo or grpo. From the paper's abstract and introduction: its code was not at hand, and that "reward" is
success is an own reading, since a failure may cost less than 0 here.
"""

from __future__ import annotations

from amft_mm.methods.guidance.hpt import HPT


class SuperRL(HPT):
    def __init__(self) -> None:
        super().__init__(gamma=0.0)
