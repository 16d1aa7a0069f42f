"""echo (arXiv 2605.24517): -log p of the world's own words in the policy's episodes, a mean over their
tokens.

Whatever an episode earned, what the world answered to it tells how the world works. Learnt is what was said
after the first answer; the first message was caused by nobody, and pictures are not written. The paper's
loss is that of exploration + lambda times this, lambda = 0.1: mu / (1 - mu) = 0.1, as in the preset.
Formula from the paper; which of a terminal's words it leaves out (warnings) has no counterpart here.
"""

from __future__ import annotations

from amft_mm.learning.example import Example
from amft_mm.methods.imitation import sft
from amft_mm.methods.imitation.streams import Offered, heard

loss = sft.loss


def stream(offered: Offered) -> list[Example]:
    played = [t for _, members in offered.groups for t in members if not t.failed]
    conversations = [heard(t.conversation, offered.policy) for t in played]
    return [Example(c) for c in conversations if c.answers]
