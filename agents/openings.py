"""Conversations that begin alike: what they begin with is read once for all of them.

    opening_of(conversation)              -> what it begins with, up to its first answer; equal ones are equal
    make_opened(conversations, pad_id)    -> the openings, and what follows each of them
    read_opened(opened, body, ...)        -> the states that the chosen tokens were chosen from

The members of a group are shown the same before they first answer, the picture among it, and what comes
before is never changed by what comes after. So an opening's keys and values serve all members, in the
backward pass too: their gradients add up there. A group of eight one-turn episodes is then one prompt and
eight answers to read instead of eight of both ("Prefix Grouper", arXiv 2506.05433, has the same by another
attention).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from transformers import DynamicCache

from agents.batches import Batch, Row, batch_of, rows_of
from agents.conversation import Conversation
from agents.image_features import name_of

Opening = tuple[tuple[int, ...], tuple[Hashable, ...]]
"""Its ids, and its pictures by name."""


def opening_of(conversation: Conversation) -> Opening | None:
    """None where there is nothing that could be read apart: no answer, a history of several windows, or
    something that was chosen after the first message alone."""
    if conversation.opened or not conversation.answers:
        return None
    if conversation.answers[0].start >= conversation.first_turn:
        return None
    pictures = tuple(name_of(image) for image in conversation.messages[0].images)
    return tuple(conversation.ids[: conversation.answers[0].start]), pictures


def are_shared(openings: Sequence[Opening | None]) -> bool:
    """Whether it is worth reading them apart: all can be, and some begin alike."""
    return None not in openings and len(set(openings)) < len(openings)


def tokens_read(conversations: Sequence[Conversation], openings: Sequence[Opening | None]) -> int:
    """In one pass over all of them, padding included, which makes all windows as long as the longest."""
    if not are_shared(openings):
        sizes = [len(window.ids) for c in conversations for window in c.windows()]
        return len(sizes) * max(sizes)
    firsts = [len(opening[0]) for opening in openings if opening is not None]
    rest = max(c.length - first for c, first in zip(conversations, firsts, strict=True))
    return len(set(openings)) * max(firsts) + len(conversations) * rest


@dataclass
class Opened:
    openings: Batch
    rests: Batch
    """Their positions go on from their openings'."""
    owner: torch.Tensor
    """For each rest the row of its opening."""
    lengths: torch.Tensor
    """Of the openings."""

    def to(self, device: torch.device | str) -> Self:
        parts = (self.openings, self.rests, self.owner, self.lengths)
        return type(self)(*(part.to(device) for part in parts))  # type: ignore[arg-type]


def make_opened(
    conversations: Sequence[Conversation], openings: Sequence[Opening | None], pad_id: int
) -> Opened:
    numbers: dict[Opening | None, int] = {}
    firsts: list[Row] = []
    rests: list[Row] = []
    for conversation, opening in zip(conversations, openings, strict=True):
        ((ids, positions, chosen, images),) = rows_of(conversation)
        at, shown = conversation.answers[0].start, len(conversation.messages[0].images)
        if opening not in numbers:
            numbers[opening] = len(firsts)
            firsts.append(Row(ids[:at], positions[:, :at], chosen[:at], images[:shown]))
        rests.append(Row(ids[at:], positions[:, at:], chosen[at:], images[shown:]))
    return Opened(
        batch_of(firsts, pad_id),
        batch_of(rests, pad_id),
        torch.tensor([numbers[opening] for opening in openings]),
        torch.tensor([len(row.ids) for row in firsts]),
    )


def read_opened(
    opened: Opened, states: Callable[[Batch, dict[str, Any]], torch.Tensor], cache_word: str
) -> torch.Tensor:
    """For each token of the rests, in rows, the state that says what comes there. `states(batch, more)` is
    the model's pass, `more` what it is to be given besides; `cache_word` what it calls its cache."""
    cache = DynamicCache()
    first = states(opened.openings, {cache_word: cache, "use_cache": True})
    last = first[torch.arange(len(first), device=first.device), opened.lengths - 1]
    cache.batch_select_indices(opened.owner)
    longest, (count, length) = first.shape[1], opened.rests.input_ids.shape
    more: dict[str, Any] = {cache_word: cache, "use_cache": True}
    if (opened.lengths < longest).any():  # the padding of the shorter ones is in the cache
        seen = torch.ones(count, longest + length, dtype=torch.long, device=first.device)
        places = torch.arange(longest, device=first.device)
        seen[:, :longest] = places < opened.lengths[opened.owner][:, None]
        more["attention_mask"] = seen
    then = states(opened.rests, more)
    return torch.cat([last[opened.owner][:, None], then[:, :-1]], dim=1)
