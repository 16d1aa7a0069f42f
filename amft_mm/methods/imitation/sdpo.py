"""sdpo (arXiv 2601.20802): the policy's own answers, as it would judge them had it known how they fared.

    D(pi(. | x) || sg pi(. | x, told))        see distilled.py; alpha = 1 by default: KL(policy || teacher)

`told` is an answer of the same group that succeeded (never the episode's own), else, for an episode that
failed, what the world's verifier said to its answers (info["feedback"]). Episodes of which neither is there
are left out. The world's words come at the end of the first message: as if it had been tried before.

From the authors' code (lasgroup/SDPO), but for: the teacher is the present policy, as in the paper's
formula (their default is a moving average of its weights); the whole vocabulary (they take the 20 or 100
likeliest tokens and the rest as one); no clip of the importance ratio, which is 1 in the first update; and
several turns, where what is told is of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from agents.trajectory import Trajectory
from amft_mm.learning.example import Example
from amft_mm.methods.imitation import distilled
from amft_mm.methods.imitation.streams import Offered, retold

NEEDS = ("teacher",)
OPTIONS = ("alpha",)
MOST = 8
"""Of what the world said in an episode, the last ones."""

loss = distilled.loss


def stream(offered: Offered, siblings: bool = True, feedback: bool = True) -> list[Example]:
    examples = []
    for _, members in offered.groups:
        for episode in members:
            if episode.failed or episode.aided or not episode.conversation.answers:
                continue
            told = _solution(episode, members) if siblings else ""
            if not told and feedback and not episode.success:
                told = _feedback(episode)
            context = retold(episode.conversation, offered.policy, told) if told else None
            if context is not None:
                examples.append(Example(episode.conversation, told=context))
    return examples


def _solution(episode: Trajectory, members: Sequence[Trajectory]) -> str:
    for other in members:
        if other is not episode and other.success and not other.failed:
            said = "\n".join(answer.text for answer in other.conversation.answers)
            return f"These answers were right before:\n{said}"
    return ""


def _feedback(episode: Trajectory) -> str:
    said = [turn.feedback for turn in episode.turns if turn.feedback.strip()]
    if not said:
        return ""
    return "\n".join(["This was tried before, and failed. What was said to it:", *said[-MOST:]])
