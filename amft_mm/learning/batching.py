"""Micro-batches: what is read in one pass, by a budget of tokens instead of a number of conversations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from agents.conversation import Conversation

Item = TypeVar("Item")


def by_length(
    items: Sequence[Item],
    tokens: int,
    conversation: Callable[[Item], Conversation] = lambda item: item,  # type: ignore[assignment,return-value]
) -> Iterator[list[Item]]:
    """Groups of similar length, each of at most so many tokens with its padding, which makes all windows as
    long as the longest; what is longer by itself is a group of one. Which items come together does not depend
    on their order."""
    group: list[Item] = []
    rows = longest = 0
    for item in sorted(items, key=lambda item: conversation(item).length):
        sizes = [len(window.ids) for window in conversation(item).windows()]
        if group and max(longest, *sizes) * (rows + len(sizes)) > tokens:
            yield group
            group, rows, longest = [], 0, 0
        group.append(item)
        rows, longest = rows + len(sizes), max(longest, *sizes)
    if group:
        yield group
