"""Staying near other weights: a KL penalty to the policy as it was when exploration began.

    k3 = exp(log ref - log pi) - (log ref - log pi) - 1      (http://joschu.net/blog/kl-approx.html)

an unbiased estimate of KL(pi || ref) on the policy's own samples, never negative. The reference is a frozen
copy of the model; with LoRA, of its adapter alone, which takes the trained one's place while it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from agents import anatomy
from agents.conversation import Conversation
from agents.files import reason_of
from agents.pictures import PictureReader
from agents.policy import Measure, Policy, Scores
from agents.sharding import local_part, whole
from amft_mm.learning.tokens import Loss, Tokens, Totals
from amft_mm.runs import tensors


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

    def freeze(self, folder: Path) -> None:
        """From now on the present weights are the reference. They are kept in `folder`, where a run that
        goes on finds them. All processes at once."""
        if hasattr(self._policy.model, "peft_config"):
            now = {name: p.detach().clone() for name, p in self._trained()}
            self._adapter = _kept(now, folder)
            return
        frozen = self._policy.frozen()
        now = {name: p.detach() for name, p in frozen.model.named_parameters()}
        frozen.model.load_state_dict(_kept(now, folder), strict=False)
        self._frozen = frozen

    def __call__(
        self, conversations: Sequence[Conversation], temperature: float = 1.0
    ) -> torch.Tensor:
        return self._scores(conversations, temperature).log_probs

    def divergence(self, conversations: Sequence[Conversation]) -> Measure:
        """KL(ref || pi) of each distribution from which a token was chosen."""
        hidden = self._scores(conversations).hidden
        head = self._head()

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
            with anatomy.all_of_it(self._policy.model):  # of what learns some may be dropped out
                return self._policy.score(conversations, temperature=temperature)
        finally:
            self._swap()

    def _head(self) -> Any:
        """Sharded, the policy's own is whole in its own pass, and a frozen one's is not."""
        if self._frozen is None or self._frozen.sharded is None:
            return (self._frozen or self._policy).logits
        model = self._frozen.plain_model
        weights = {
            name: whole(p.detach()) for name, p in model.get_output_embeddings().named_parameters()
        }

        def logits(hidden: torch.Tensor) -> torch.Tensor:
            return anatomy.scaled(model, F.linear(hidden, **weights))

        return logits

    def _trained(self) -> list[tuple[str, torch.nn.Parameter]]:
        return [(n, p) for n, p in self._policy.model.named_parameters() if p.requires_grad]

    def _swap(self) -> None:
        for name, parameter in self._trained():
            if self._policy.sharded is None:
                parameter.data, self._adapter[name] = self._adapter[name], parameter.data
            else:  # FSDP remembers where its parts are
                mine, other = local_part(parameter), local_part(self._adapter[name])
                kept = mine.clone()
                mine.copy_(other)
                other.copy_(kept)


def _kept(weights: dict[str, torch.Tensor], folder: Path) -> dict[str, torch.Tensor]:
    """Those in `folder` where there are some, laid out as `weights`; else `weights`, written there."""
    if folder.exists():
        return _read(folder, weights)
    try:
        tensors.keep(folder, weights)
    except tensors.FAILURES as error:
        raise RuntimeError(
            f"{folder} could not be written ({reason_of(error)}): free some space, then go on by resume=true"
        ) from error
    return weights


def _read(folder: Path, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    try:
        found = tensors.load(folder, lambda name, _: weights[name])
        if lost := sorted(weights.keys() - found.keys()):
            raise ValueError(f"{len(lost)} of its weights are not there, {lost[0]} among them")
    except tensors.FAILURES as error:
        raise RuntimeError(
            f"{folder} cannot be read ({reason_of(error)}): put back what it held, or begin anew in another "
            "folder by out=FOLDER"
        ) from error
    return found


class Behaviour:
    """Log-probabilities of the chosen tokens under the model that wrote them."""

    def __init__(self, name: str, policy: Policy) -> None:
        seen = policy.pictures  # as many tokens a picture as its conversations have
        pixels = (
            (seen.min_pixels, seen.max_pixels) if isinstance(seen, PictureReader) else (None, None)
        )
        self._model = Policy.load(
            name,
            device=str(policy.device),
            dtype=policy.dtype,
            min_pixels=pixels[0],
            max_pixels=pixels[1],
        )
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
