"""Conversations as tensors: padded on the right, with every token's position given.

What is read causally never sees what comes after it, so that padding on the right needs no mask; without
one attention takes half the time.

Positions are computed here, once, from the ids and the pictures' grids: a picture's tokens share one
time step and count by row and column, as the Qwen-VL models are trained to have it; text counts on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from agents.conversation import Conversation
from agents.pictures import Grid


@dataclass
class Batch:
    """What the model reads (B windows, S tokens), and which tokens were chosen by the agent."""

    input_ids: torch.Tensor  # B x S
    position_ids: torch.Tensor  # 3 x B x S
    chosen: torch.Tensor  # B x S, bool
    images: list[np.ndarray]  # of all windows in order

    def to(self, device: torch.device | str) -> Self:
        moved: dict[str, Any] = {}
        for part in fields(self):
            value = getattr(self, part.name)
            there = isinstance(value, torch.Tensor)
            moved[part.name] = value.to(device, non_blocking=True) if there else value
        return type(self)(**moved)


class Row(NamedTuple):
    """A text with its pictures, or a part of one."""

    ids: Sequence[int]
    positions: np.ndarray  # 3 x len(ids)
    chosen: np.ndarray
    images: Sequence[np.ndarray]


def make_batch(conversations: Sequence[Conversation], pad_id: int) -> Batch:
    """The windows of all conversations, one after the other."""
    return batch_of([row for c in conversations for row in rows_of(c)], pad_id)


def rows_of(conversation: Conversation) -> list[Row]:
    """A row a window."""
    return [
        Row(w.ids, token_positions(w.ids, w.grids, conversation.image_id), w.chosen(), w.images)
        for w in conversation.windows()
    ]


def batch_of(rows: Sequence[Row], pad_id: int) -> Batch:
    count, length = len(rows), max(len(row.ids) for row in rows)
    ids = np.full((count, length), pad_id, np.int64)
    chosen = np.zeros((count, length), bool)
    positions = np.zeros((3, count, length), np.int64)
    for number, row in enumerate(rows):
        size = len(row.ids)
        ids[number, :size] = row.ids
        chosen[number, :size] = row.chosen
        positions[:, number, :size] = row.positions
        # Padding counts on: a jump would be taken for the beginning of another text.
        positions[:, number, size:] = row.positions[:, -1:] + np.arange(1, length - size + 1)
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(positions),
        torch.from_numpy(chosen),
        [image for row in rows for image in row.images],
    )


def token_positions(
    ids: Sequence[int], grids: Sequence[Grid], image_id: int | None, start: int = 0
) -> np.ndarray:
    """The (time, row, column) positions of ids that begin at position `start`: 3 x len(ids)."""
    array = np.asarray(ids, np.int64)
    if not grids or grids[0].written is not None:
        return np.broadcast_to(np.arange(start, start + len(array)), (3, len(array)))
    positions = np.empty((3, len(array)), np.int64)
    at, position = 0, start
    starts = np.flatnonzero(array == image_id)
    taken = 0
    for grid in grids:
        first = int(starts[taken])
        text = first - at
        positions[:, at:first] = np.arange(position, position + text)
        position += text
        rows, columns = np.divmod(np.arange(grid.tokens), grid.token_columns)
        positions[:, first : first + grid.tokens] = position + np.stack([0 * rows, rows, columns])
        position += max(grid.token_rows, grid.token_columns)
        at, taken = first + grid.tokens, taken + grid.tokens
    positions[:, at:] = np.arange(position, position + len(array) - at)
    return positions
