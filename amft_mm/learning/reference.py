"""Staying near other weights: a KL penalty to the policy as it was when exploration began.

    k3 = exp(log ref - log pi) - (log ref - log pi) - 1      (http://joschu.net/blog/kl-approx.html)

an unbiased estimate of KL(pi || ref) on the policy's own samples, never negative. The reference is a frozen
copy of the model; with LoRA, of its adapter alone, which takes the trained one's place while it is asked.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional as F

from agents.conversation import Conversation
from agents.files import whole_file
from agents.policy import Measure, Policy, Scores
from amft_mm.learning.tokens import Loss, Tokens, Totals


def with_kl(loss: Loss, coefficient: float) -> Loss:
    """The loss plus the penalty, a mean over all tokens."""

    def penalised(tokens: Tokens, totals: Totals) -> torch.Tensor:
        if tokens.reference_log_probs is None:
            raise ValueError("a KL penalty needs the reference's log-probabilities")
        apart = tokens.reference_log_probs - tokens.log_probs
        k3 = apart.exp() - apart - 1
        return loss(tokens, totals) + coefficient * k3.sum() * totals.per_token

    return penalised


class Reference:
    """Log-probabilities of the chosen tokens under the reference."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._frozen: Policy | None = None
        self._adapter: dict[str, torch.Tensor] = {}

    def freeze(self, path: Path, *, write: bool) -> None:
        """From now on the present weights are the reference. They are kept at `path`, where a run that
        goes on finds them."""
        if hasattr(self._policy.model, "peft_config"):
            now = {name: p.detach().clone() for name, p in self._trained()}
            self._adapter = _kept(now, path, write)
            return
        frozen = copy.copy(self._policy)
        frozen.model = copy.deepcopy(self._policy.model).requires_grad_(False).eval()
        frozen.model.load_state_dict(_kept(frozen.model.state_dict(), path, write), strict=False)
        self._frozen = frozen

    def __call__(
        self, conversations: Sequence[Conversation], temperature: float = 1.0
    ) -> torch.Tensor:
        return self._scores(conversations, temperature).log_probs

    def divergence(self, conversations: Sequence[Conversation]) -> Measure:
        """KL(ref || pi) of each distribution from which a token was chosen."""
        hidden = self._scores(conversations).hidden
        head = (self._frozen or self._policy).logits

        def measure(log_probs: torch.Tensor, where: slice) -> torch.Tensor:
            with torch.no_grad():
                reference = F.log_softmax(head(hidden[where]), dim=-1)
            return (reference.exp() * (reference - log_probs)).sum(-1)

        return measure

    @torch.no_grad()
    def _scores(self, conversations: Sequence[Conversation], temperature: float = 1.0) -> Scores:
        if self._frozen is not None:
            return self._frozen.score(conversations, temperature=temperature)
        if not self._adapter:
            raise RuntimeError("the reference is asked before it was frozen")
        self._swap()
        try:
            return self._policy.score(conversations, temperature=temperature)
        finally:
            self._swap()

    def _trained(self) -> list[tuple[str, torch.nn.Parameter]]:
        return [(n, p) for n, p in self._policy.model.named_parameters() if p.requires_grad]

    def _swap(self) -> None:
        for name, parameter in self._trained():
            parameter.data, self._adapter[name] = self._adapter[name], parameter.data


def _kept(weights: dict[str, torch.Tensor], path: Path, write: bool) -> dict[str, torch.Tensor]:
    """Those at `path` where there are some, on the devices of `weights`; else `weights`, written there."""
    if path.exists():
        stored: dict[str, torch.Tensor] = torch.load(path, weights_only=True, map_location="cpu")
        return {name: value.to(weights[name].device) for name, value in stored.items()}
    if write:
        with whole_file(path) as unfinished:
            torch.save(weights, unfinished)
    return weights


class Behaviour:
    """Log-probabilities of the chosen tokens under the model that wrote them."""

    def __init__(self, name: str, policy: Policy) -> None:
        self._model = Policy.load(name, device=str(policy.device), dtype=policy.dtype)
        vocabularies = [p.chat_format.tokenizer.get_vocab() for p in (self._model, policy)]
        if vocabularies[0] != vocabularies[1]:
            raise ValueError(
                f"method.imitation.behaviour={name} has another tokenizer than the policy: its probabilities "
                "are of other tokens"
            )
        self._model.model.requires_grad_(False).eval()

    @torch.no_grad()
    def __call__(self, conversations: Sequence[Conversation]) -> torch.Tensor:
        return self._model.score(conversations).log_probs
