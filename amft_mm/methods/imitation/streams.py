"""What can take the place of demonstrations: a stream of other examples, with a loss of its own.

An imitation module that has a function

    stream(offered, **settings) -> examples        its settings are those of its loss, too

is not shown demonstrations: its examples are made of what a step has. `Offered` says what that is. A stream
may be empty in a step; then its gradient is nothing, and the figures say so (`tokens/stream`).

What streams are made of here are conversations: `retold` with more in the first message, as a teacher reads
them, and `heard`, in which the world's words are what is to be learnt.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agents.conversation import Answer, Conversation
from agents.demonstrations import Demonstration
from agents.policy import Policy
from amft_mm.methods.guidance.base import Group, Place


@dataclass(frozen=True)
class Offered:
    """What a step has, of one process and part."""

    policy: Policy
    groups: Sequence[Group]
    """Its episodes by task instance, with the place of a demonstration of it."""
    demonstration: Callable[[Place], Demonstration]
    """Of a task instance, where the method's guidance shows them."""


def retold(conversation: Conversation, policy: Policy, told: str) -> Conversation | None:
    """The same answers to the same messages, with `told` at the end of the first one, and room for it.
    None where there is no answer."""
    limits = conversation.limits
    room = replace(limits, max_tokens=limits.max_tokens + len(told.encode()) + 64)
    out = Conversation(policy, room)
    for number, answer in enumerate(conversation.answers):
        text, images, tool = conversation.messages[number]
        text = text if number else f"{text}\n\n{told}"
        if not out.observe(text, images, tool=tool, briefing=conversation.briefing):
            return None
        out.act(conversation.said(number))
        out.answers[-1] = replace(out.answers[-1], learnt=answer.learnt)
    return out if out.answers else None


def heard(conversation: Conversation, policy: Policy) -> Conversation:
    """The same ids, with the words that the world said after the first answer in the place of what the agent
    said. Pictures, and what the chat's format writes around words, are left out."""
    ends = [*(answer.start for answer in conversation.answers[1:]), len(conversation.ids)]
    pictures = sum(len(message.images) for message in conversation.messages[:1])
    out = copy.copy(conversation)
    out.answers = []
    for answer, message, end in zip(
        conversation.answers, conversation.messages[1:], ends, strict=False
    ):
        grids = conversation.grids[pictures : pictures + len(message.images)]
        pictures += len(message.images)
        before, after = policy.chat_format.around_words(grids, message.tool)
        # Before the message of an answer that was cut stands what ends it.
        start = answer.stop + before + answer.cut
        if start < (stop := end - after):
            out.answers.append(Answer(start, stop, "", given=stop - start))
    return out
