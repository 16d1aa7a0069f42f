"""Keys and values of many conversations, one row each, each with its own length.

transformers' own caches give all rows one length, so a row that is shorter is padded at every turn.
Here each row is written where it ends; the attention mask says how far each may look.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import Cache


class RowCache(Cache):
    """`select` names the rows of the next forward passes and where their new tokens go.

    Rows that lie side by side are read in place; others are copied for the pass.
    """

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.keys: list[torch.Tensor] = []  # a layer: rows x heads x length x width
        self.values: list[torch.Tensor] = []
        self.rows, self.length = 0, 0
        self._view: slice | torch.Tensor = slice(0, 0)
        self._rows = self._columns = torch.zeros(0, dtype=torch.long)
        self._end = 0

    def reserve(self, rows: int, length: int) -> None:
        """Makes room; what is there stays. Grows by halves, so that growing is rare."""
        if rows <= self.rows and length <= self.length:
            return
        if rows > self.rows:
            rows = max(rows, self.rows + self.rows // 2)
        if length > self.length:
            length = max(length, self.length + self.length // 2)
        self.rows, self.length = max(rows, self.rows), max(length, self.length)
        self.keys = [self._grown(layer) for layer in self.keys]
        self.values = [self._grown(layer) for layer in self.values]

    def _grown(self, layer: torch.Tensor) -> torch.Tensor:
        larger = layer.new_zeros(self.rows, layer.shape[1], self.length, layer.shape[3])
        larger[: layer.shape[0], :, : layer.shape[2]] = layer
        return larger

    def select(self, rows: Sequence[int], starts: torch.Tensor, count: int) -> None:
        """The next pass has `count` tokens for each of these rows, the first at `starts`."""
        first = rows[0]
        side_by_side = list(rows) == list(range(first, first + len(rows)))
        self._rows = torch.tensor(rows, device=starts.device)[:, None]
        self._view = slice(first, first + len(rows)) if side_by_side else self._rows[:, 0]
        self._columns = starts[:, None] + torch.arange(count, device=starts.device)
        self._end = int(self._columns.max()) + 1

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *_: object,
        **__: object,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        while len(self.keys) <= layer_idx:
            shape = (self.rows, key_states.shape[1], self.length, key_states.shape[3])
            self.keys.append(key_states.new_zeros(shape))
            self.values.append(value_states.new_zeros(shape))
        keys, values = self.keys[layer_idx], self.values[layer_idx]
        keys[self._rows, :, self._columns] = key_states.transpose(1, 2)
        values[self._rows, :, self._columns] = value_states.transpose(1, 2)
        return keys[self._view, :, : self._end], values[self._view, :, : self._end]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._end

    def swap(self, a: int, b: int, length: int) -> None:
        """Exchanges the first `length` tokens of two rows."""
        for layer in (*self.keys, *self.values):
            kept = layer[a, :, :length].clone()
            layer[a, :, :length] = layer[b, :, :length]
            layer[b, :, :length] = kept

    def copy(self, source: int, rows: Sequence[int], length: int) -> None:
        """Gives other rows what one row has."""
        for layer in (*self.keys, *self.values):
            layer[torch.tensor(rows, device=layer.device), :, :length] = layer[source, :, :length]

    def clear(self) -> None:
        self.keys, self.values, self.rows, self.length = [], [], 0, 0
