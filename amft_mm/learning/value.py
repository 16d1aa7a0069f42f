"""A value head and generalised advantage estimation over turns (credit `gae`).

    delta_t = r_t + gamma V_{t+1} - V_t          V after the last turn is 0, or of the last one if it was cut
    A_t     = delta_t + gamma lambda A_{t+1}     return_t = A_t + V_t
    loss    = 1/2 max((V - return)^2, (clip(V, V_old - c, V_old + c) - return)^2), a mean over turns

V_t is linear in the policy's own state right before answer t. The head reads the state and does not
train it, and has an optimizer of its own: imitation, exploration and their mix are what they are without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from agents.policy import Policy
from amft_mm.learning.batching import by_length
from amft_mm.learning.example import Example
from amft_mm.runs.processes import ProcessGroup


class ValueHead:
    @staticmethod
    def check(
        *, gamma: float = 1.0, lam: float = 0.95, clip: float = 0.2, lr: float = 1e-3
    ) -> None:
        """What is wrong with such settings is an error."""
        if not (0 <= gamma <= 1 and 0 <= lam <= 1):
            raise ValueError(f"credit by gae: gamma={gamma} and lam={lam} must be from 0 to 1")
        if not clip >= 0:
            raise ValueError(f"credit by gae: clip={clip} must not be negative")
        if not 0 <= lr <= 1:
            raise ValueError(f"credit by gae: lr={lr} must be from 0 to 1")

    def __init__(
        self,
        policy: Policy,
        processes: ProcessGroup,
        micro_batch_tokens: int,
        *,
        gamma: float = 1.0,
        lam: float = 0.95,
        clip: float = 0.2,
        lr: float = 1e-3,
    ) -> None:
        self.check(gamma=gamma, lam=lam, clip=clip, lr=lr)
        width = policy.plain_model.config.get_text_config().hidden_size
        self._policy, self._processes, self._budget = policy, processes, micro_batch_tokens
        self._gamma, self._lam, self._clip = gamma, lam, clip
        self.head = torch.nn.Linear(width, 1).to(policy.device, torch.float32)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)
        self._optimizer = torch.optim.Adam(self.head.parameters(), lr=lr)
        self._turns = 1.0

    @torch.no_grad()
    def credited(
        self,
        examples: Sequence[Example],
        rewards: Sequence[Sequence[float]],
        cut: Sequence[bool] | None = None,
        minibatches: int = 1,
    ) -> list[Example]:
        """The examples with advantages (normed over the batch), returns and values. `cut`: which episodes
        would have gone on. `minibatches`: into how many they are divided to be learnt from."""
        values: dict[int, np.ndarray] = {}
        places = {id(example): i for i, example in enumerate(examples)}
        with self._policy.gathered():
            self._policy.model.eval()
            for part in by_length(examples, self._budget, lambda e: e.conversation):
                hidden = self._policy.score([e.conversation for e in part]).hidden
                said = self.head(hidden[first_tokens(part)].float())[:, 0].cpu().numpy()
                ends = np.cumsum([len(e.conversation.answers) for e in part])
                for example, mine in zip(part, np.split(said, ends[:-1]), strict=True):
                    values[places[id(example)]] = mine
        advantages = [
            gae(rewards[i], values[i], self._gamma, self._lam, cut=bool(cut and cut[i]))
            for i in range(len(examples))
        ]
        count, total, square = self._processes.sum(
            sum(len(a) for a in advantages),
            sum(float(a.sum()) for a in advantages),
            sum(float((a**2).sum()) for a in advantages),
        )
        self._turns = max(count / minibatches, 1.0)
        mean = total / max(count, 1.0)
        std = max(square / max(count, 1.0) - mean**2, 0.0) ** 0.5
        return [
            replace(
                example,
                advantages=(advantages[i] - mean) / (std + 1e-8),
                returns=advantages[i] + values[i],
                values=values[i],
            )
            for i, example in enumerate(examples)
        ]

    def learn(self, hidden: torch.Tensor, examples: Sequence[Example]) -> None:
        """Adds the gradient of the loss on these states."""
        old = _tensor([e.values for e in examples], hidden.device)
        wanted = _tensor([e.returns for e in examples], hidden.device)
        said = self.head(hidden[first_tokens(examples)].float())[:, 0]
        near = old + (said - old).clamp(-self._clip, self._clip)
        loss = 0.5 * torch.maximum((said - wanted) ** 2, (near - wanted) ** 2).sum()
        (loss / self._turns).backward()

    def step(self) -> None:
        """Where the gradient is not finite, the head stays as it was, as the policy does."""
        self._processes.share_gradients(self.head.parameters())
        gradients = [p.grad for p in self.head.parameters() if p.grad is not None]
        if all(bool(gradient.isfinite().all()) for gradient in gradients):
            self._optimizer.step()
        self._optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        return {"head": self.head.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.head.load_state_dict(state["head"])
        self._optimizer.load_state_dict(state["optimizer"])


def gae(
    rewards: Sequence[float], values: np.ndarray, gamma: float, lam: float, *, cut: bool = False
) -> np.ndarray:
    """With `cut`, the episode would have gone on: what would have come is taken to be worth what
    the last state seen is."""
    advantages = np.zeros(len(rewards))
    later, next_value = 0.0, float(values[-1]) if cut and len(values) else 0.0
    for turn in reversed(range(len(rewards))):
        delta = rewards[turn] + gamma * next_value - values[turn]
        later = delta + gamma * lam * later
        advantages[turn], next_value = later, values[turn]
    return advantages


def first_tokens(examples: Sequence[Example]) -> list[int]:
    """Where, among all chosen tokens, each answer begins."""
    places, at = [], 0
    for example in examples:
        for answer in example.conversation.answers:
            places.append(at)
            at += answer.stop - answer.start
    return places


def _tensor(parts: Sequence[np.ndarray | None], device: torch.device) -> torch.Tensor:
    whole = np.concatenate([part for part in parts if part is not None])
    return torch.tensor(whole, dtype=torch.float32, device=device)
