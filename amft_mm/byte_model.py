"""The smallest model that can write an answer: a recurrent network over bytes.

It reads the last bytes of what the agent was told and writes until the end byte. It sees no
pictures. It stands in for a vision-language agent until there is one.
"""

from __future__ import annotations

import torch
from torch import nn

END, PAD = 256, 257


class ByteModel(nn.Module):
    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.context = context
        self.embed = nn.Embedding(258, width)
        self.read = nn.GRU(width, width, num_layers=2, batch_first=True)
        self.head = nn.Linear(width, 257)

    def forward(
        self, ids: torch.Tensor, state: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        hidden, state = self.read(self.embed(ids), state)
        return self.head(hidden), state

    def imitation_loss(self, told: list[str], written: list[str]) -> torch.Tensor:
        """Mean negative log-likelihood of the answers' bytes, over all bytes of the batch."""
        rows = [
            (told_bytes, [*text.encode(), END])
            for told_bytes, text in zip(map(self._tail, told), written, strict=True)
        ]
        longest = max(len(a) + len(b) for a, b in rows)
        ids = torch.full((len(rows), longest), PAD)
        targets = torch.full((len(rows), longest), -100)
        for row, (before, answer) in enumerate(rows):
            ids[row, : len(before) + len(answer)] = torch.tensor([*before, *answer])
            start = len(before) - 1
            targets[row, start : start + len(answer)] = torch.tensor(answer)
        logits, _ = self(ids)
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    @torch.no_grad()
    def write(self, told: str, longest: int = 400) -> str:
        """The most likely answer, byte by byte."""
        logits, state = self(torch.tensor([self._tail(told)]))
        answer: list[int] = []
        while len(answer) < longest and (byte := int(logits[0, -1].argmax())) != END:
            answer.append(byte)
            logits, state = self(torch.tensor([[byte]]), state)
        return bytes(answer).decode("utf-8", errors="replace")

    def _tail(self, told: str) -> list[int]:
        return list(told.encode("utf-8", errors="replace"))[-self.context :] or [10]
