"""sdft (arXiv 2601.19897; opsd): the policy's own answers, as it would give them with a demonstration at
hand.

    D(pi(. | x) || sg pi(. | x, demonstration))        see distilled.py; alpha = 1: KL(policy || teacher)

What the expert answered stands at the end of the first message. It takes `guidance: {name: shown}`: the task
instances that are explored are those of demonstrations. Own reading of the paper's formula: its code was not
found; the teacher is the present policy.
"""

from __future__ import annotations

from amft_mm.learning.example import Example
from amft_mm.methods.imitation import distilled
from amft_mm.methods.imitation.streams import Offered, retold

NEEDS = ("teacher",)
OPTIONS = ("alpha",)

loss = distilled.loss


def stream(offered: Offered) -> list[Example]:
    examples = []
    for place, members in offered.groups:
        said = "\n".join(offered.demonstration(place).answers)
        for episode in members:
            if episode.failed or episode.aided:
                continue
            told = f"An expert answered this by:\n{said}"
            context = retold(episode.conversation, offered.policy, told)
            if context is not None:
                examples.append(Example(episode.conversation, told=context))
    return examples
