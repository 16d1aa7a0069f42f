"""Micro-batches: what is read in one pass, by a budget of tokens instead of a number of conversations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from agents.conversation import Conversation
from agents.openings import Opening, tokens_read

Item = TypeVar("Item")


def by_length(
    items: Sequence[Item],
    tokens: int,
    conversation: Callable[[Item], Conversation] = lambda item: item,  # type: ignore[assignment,return-value]
    opening: Callable[[Conversation], Opening | None] = lambda conversation: None,
) -> Iterator[list[Item]]:
    """Groups of similar length, each of at most so many tokens with its padding; what is longer by
    itself is a group of one. Which items come together does not depend on their order.

    `opening` says what is read once for all that begin with it (agents/openings.py): these come together."""
    group: list[Item] = []
    openings: list[Opening | None] = []
    for family in _families(items, conversation, opening):
        for item, its_opening in family:
            there = [*openings, its_opening]
            conversations = [conversation(one) for one in (*group, item)]
            if group and tokens_read(conversations, there) > tokens:
                yield group
                group, there = [], [its_opening]
            group.append(item)
            openings = there
    if group:
        yield group


def _families(
    items: Sequence[Item],
    conversation: Callable[[Item], Conversation],
    opening: Callable[[Conversation], Opening | None],
) -> list[list[tuple[Item, Opening | None]]]:
    """What begins alike; each by itself where nothing does. The shortest first."""
    families: dict[object, list[tuple[Item, Opening | None]]] = {}
    for item in sorted(items, key=lambda item: conversation(item).length):
        its_opening = opening(conversation(item))
        families.setdefault(its_opening or id(item), []).append((item, its_opening))
    return sorted(families.values(), key=lambda family: conversation(family[-1][0]).length)
