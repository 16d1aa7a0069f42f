"""Whether a model's parts make the numbers that the model itself makes: asked whenever one is loaded.

    check_scores(policy)             what learning reads, against the model's own forward pass
    scores_openings(policy)          whether that stays so where what a group begins with is read once
    check_answers(policy, engine)    greedy answers of engine=hf, against reading everything anew

Two short conversations, of different lengths and with a picture where the model sees, say it. What
differs is a `ModelError` that names it and says what to do. This stands in the place of a list of families.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import numpy as np
import torch

from agents import anatomy
from agents.anatomy import ModelError
from agents.conversation import ChatModel, Conversation, Limits
from agents.engines.base import GREEDY, Engine, Request, written

EXACT, HALF = 1e-3, 0.125
"""How far log-probabilities may differ: each of them in float32, in fewer digits their mean."""
NEW_TOKENS = 6
UNREADABLE = (
    ValueError,
    TypeError,
    RuntimeError,
    KeyError,
    AttributeError,
    NotImplementedError,
)
"""What a model raises that is read in a way that is not its own."""
_LIMITS = Limits(max_tokens=100_000, max_new_tokens=NEW_TOKENS)


class Player(ChatModel, Protocol):
    """What is asked of a policy (agents/policy.py)."""

    model: Any
    below: str
    dtype: torch.dtype

    @property
    def plain_model(self) -> Any: ...

    @property
    def device(self) -> torch.device: ...

    def arithmetic(self) -> AbstractContextManager[Any]: ...

    def of_pictures(self, ids: torch.Tensor) -> torch.Tensor: ...

    def score(self, conversations: Sequence[Conversation]) -> Any: ...


def check_scores(policy: Player) -> None:
    conversations = _conversations(policy)
    with _looking(policy):
        try:
            scores = policy.score(conversations)
            own = [own_log_probs(policy, c) for c in conversations]
        except UNREADABLE as e:
            raise ModelError(
                f"{_name(policy)} cannot be read as this suite reads models: {type(e).__name__}: {e!s:.300}. "
                "Take another model"
            ) from e
        targets = [torch.tensor(c.ids)[torch.from_numpy(c.chosen())] for c in conversations]
        expected = torch.cat(
            [o.gather(-1, t.to(o.device)[:, None])[:, 0] for o, t in zip(own, targets, strict=True)]
        )
        difference = _apart(policy, scores.log_probs, expected)
    if not difference < _tolerance(policy):
        raise ModelError(
            f"{_name(policy)}: the log-probabilities that learning would read differ from the model's own "
            f"forward pass by {difference:.2g}, so what is learnt would not be what is played. Something "
            "between its layers and its scores is not understood (agents/anatomy.py). Take another model"
        )


def scores_openings(policy: Player) -> bool:
    """Where they are not scored alike, a model's cache is not what agents/openings.py takes it for."""
    (first, other), (again, _) = _conversations(policy), _conversations(policy)
    again.observe("And now?")
    again.say("Still 22.")
    with _looking(policy):
        alone = [policy.score([c]).log_probs for c in (first, other, again)]
        try:
            together = policy.score([first, other, again]).log_probs
        except UNREADABLE:
            return False
    return _apart(policy, together, torch.cat(alone)) < _tolerance(policy)


def check_answers(policy: Player, engine: Engine) -> None:
    conversations = _conversations(policy)
    requests = []
    for number, conversation in enumerate(conversations):
        conversation.observe("And what do you see now?")
        requests.append(Request(conversation, number, GREEDY, NEW_TOKENS))
    with _looking(policy):
        samples = written(engine, requests)
        found = []
        for conversation, sample in zip(conversations, samples, strict=True):
            conversation.act(sample.ids)
            own = own_log_probs(policy, conversation)[-len(sample.ids) :]
            chosen = torch.tensor(sample.ids, device=own.device)
            found.append(own.gather(-1, chosen[:, None])[:, 0])
        engine.refresh()
    told = torch.tensor([p for sample in samples for p in sample.log_probs])
    difference = _apart(policy, torch.cat(found).cpu(), told)
    for conversation in conversations:
        engine.release(conversation)
    if not difference < _tolerance(policy):
        raise ModelError(
            f"engine=hf: {_name(policy)} answers otherwise from its cache than when it reads everything "
            f"anew; log-probabilities differ by {difference:.2g}. Take engine=vllm, whose caches are its own"
        )


def own_log_probs(policy: Player, conversation: Conversation) -> torch.Tensor:
    """Of the whole vocabulary, for every token that the agent chose, by the model's own forward pass over the
    conversation."""
    given = own_inputs(policy, conversation.ids, conversation.images)
    with policy.arithmetic():
        logits = policy.model(**given).logits[0].float()
    chosen = torch.from_numpy(conversation.chosen())[1:].to(logits.device)
    return torch.log_softmax(logits[:-1][chosen], dim=-1)


def own_inputs(policy: Player, ids: list[int], images: list[np.ndarray]) -> dict[str, Any]:
    """What the model's forward pass takes by its own documentation, positions left to itself."""
    body = anatomy.body_of(policy.plain_model)
    if hasattr(body, "rope_deltas"):  # of the conversation before
        body.rope_deltas = None
    given: dict[str, Any] = {"input_ids": torch.tensor([ids], device=policy.device)}
    if not images or policy.pictures is None:
        return given
    parts = [inputs for inputs, _ in policy.pictures.inputs(images)]
    for name, value in parts[0].items():
        if isinstance(value, torch.Tensor):
            joined = _stacked([part[name] for part in parts])
            dtype = policy.dtype if joined.is_floating_point() else None
            given[name] = joined.to(policy.device, dtype)
    kinds = policy.of_pictures(given["input_ids"]).int()
    for name in ("mm_token_type_ids", "token_type_ids"):
        if anatomy.takes(policy.plain_model, name):
            given[name] = kinds
    return given


def _stacked(parts: list[torch.Tensor]) -> torch.Tensor:
    """Pictures of different numbers of tiles are filled up with empty ones, which models leave out."""
    if len({part.shape[1:] for part in parts}) > 1:
        tiles = max(part.shape[1] for part in parts)
        fill = [(0, 0) * (part.ndim - 2) + (0, tiles - part.shape[1]) for part in parts]
        parts = [torch.nn.functional.pad(p, f) for p, f in zip(parts, fill, strict=True)]
    return torch.cat(parts)


def _conversations(policy: Player) -> list[Conversation]:
    made = []
    for number in range(2):
        conversation = Conversation(policy, _LIMITS)
        picture = None
        if policy.pictures is not None and number == 0:
            picture = np.random.default_rng(0).integers(0, 256, (56, 84, 3), np.uint8)
        conversation.observe(f"How many are 12 and {7 + number}?", picture)
        conversation.say(f"They are {19 + number}.")
        if number == 0:
            conversation.observe("And 3 more?")
            conversation.say("22")
        made.append(conversation)
    return made


@contextmanager
def _looking(policy: Player) -> Iterator[None]:
    with anatomy.all_of_it(policy.model), torch.no_grad():
        yield


def _apart(policy: Player, one: torch.Tensor, other: torch.Tensor) -> float:
    """What is read wrongly is so all over; rounding to fewer digits takes single tokens as far."""
    apart = (one - other).abs()
    return float(apart.max() if policy.dtype == torch.float32 else apart.mean())


def _tolerance(policy: Player) -> float:
    return EXACT if policy.dtype == torch.float32 else HALF


def _name(policy: Player) -> str:
    return f"model={policy.below!r} ({type(policy.plain_model).__name__})"
