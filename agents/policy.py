"""A vision-language agent's model: loaded, scored and saved; with LoRA or whole; text-only too.

    policy = Policy.load("tiny")                      the model in the box
    policy = Policy.load("Qwen/Qwen2.5-VL-7B-Instruct", lora={"r": 16})
    log_probs, entropies = policy.score(conversations)   of the tokens that the agent chose

`score` never holds log-probabilities of a whole batch: hidden states of chosen tokens alone meet the
vocabulary, a chunk at a time, and again in the backward pass.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import init_empty_weights
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import AutoTokenizer

from agents import anatomy
from agents.anatomy import ModelError
from agents.batches import Batch, make_batch
from agents.chat_format import ChatFormat
from agents.conversation import Conversation
from agents.files import weights_written
from agents.image_features import ImageFeatures, Seen
from agents.loading import (
    adapter_base,
    add_lora,
    base_of,
    build,
    config_of,
    keep_masters,
    load_adapter,
    load_processor,
    reader_of,
)
from agents.locate import locate_model
from agents.openings import Opened, Opening, are_shared, make_opened, opening_of, read_opened
from agents.pictures import Reader
from agents.ranks import is_first
from agents.self_check import check_scores, scores_openings
from agents.sharding import ShardedModel, Twins

CHUNK = 1024
"""Tokens whose scores over the whole vocabulary are in memory at once."""
Measure = Callable[[torch.Tensor, slice], torch.Tensor]
"""From log-probabilities over the whole vocabulary, n x V, and which of the chosen tokens they are of,
to one number for each of the n."""


@dataclass(frozen=True)
class Scores:
    """Of the chosen tokens of all conversations, one after the other; `lengths` says whose."""

    log_probs: torch.Tensor
    entropies: torch.Tensor
    lengths: list[int]
    hidden: torch.Tensor
    """The state from which each was chosen, T x width."""
    measured: torch.Tensor | None = None
    """What `score` was asked to measure."""


class OtherWeights(ValueError):
    """Weights are of another model than they are given to."""


class Policy:
    """A model with its processor. `pictures` is None for models of text alone."""

    def __init__(
        self,
        model: Any,
        processor: Any,
        pictures: Reader | None,
        below: str,
        dtype: torch.dtype = torch.float32,
        system: str | None = None,
    ):
        """`below` names the model that was loaded, as an adapter on it has to remember it. `dtype` is what
        is computed in; what is trained is kept in float32 whatever it is."""
        self.model, self.processor, self.pictures, self.below = model, processor, pictures, below
        self.sharded: ShardedModel | None = None
        self.dtype = dtype
        self.image_features = (
            None if pictures is None else ImageFeatures(self.plain_model, pictures)
        )
        self.both_ways = pictures is not None and anatomy.takes(self.plain_model, "token_type_ids")
        self._grid = anatomy.places_pictures_in_a_grid(self.plain_model)
        self.reads_openings = not self.both_ways and anatomy.sees_all_before(self.plain_model)
        self.chat_format = ChatFormat(processor, system)
        tokenizer = self.chat_format.tokenizer
        self.pad_id = int(
            tokenizer.pad_token_id
            if tokenizer.pad_token_id is not None
            else self.chat_format.stop_id
        )

    @classmethod
    def load(
        cls,
        name: str = "tiny",
        *,
        device: str | None = None,
        dtype: torch.dtype | None = None,
        lora: dict[str, Any] | None = None,
        freeze_vision: bool = False,
        gradient_checkpointing: bool = False,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        attention: str | None = None,
        system: str | None = None,
        shard: bool = False,
        offload: bool = False,
        check: bool = True,
    ) -> Policy:
        """`name`: tiny, tiny-random, a folder in the Hugging Face layout, or a hub id. `attention` is
        transformers' word for its implementation; None is its own choice. `system` replaces the chat
        format's own system prompt. `shard` and `offload` as in agents/sharding.py, for processes that know
        of each other already. `check`: agents/self_check.py; weights that are divided are not checked."""
        folder, adapter = base_of(locate_model(name))
        if adapter is not None and lora is not None:
            raise ModelError(f"model={name!r} is a LoRA adapter already: leave out lora=")
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = dtype or (torch.float32 if device == "cpu" else torch.bfloat16)
        config = config_of(folder)
        # Sharded, the first process reads the weights and hands them out; others build the model without.
        empty = shard and not is_first()
        with init_empty_weights(include_buffers=False) if empty else nullcontext():
            plain = model = build(folder, config, dtype, attention, empty=empty)
            if freeze_vision:
                anatomy.freeze_eye(plain)
            if adapter is not None:
                model = load_adapter(model, adapter, empty=empty)
            if gradient_checkpointing:
                model.gradient_checkpointing_enable({"use_reentrant": False})
            if lora is not None:
                model = add_lora(model, lora)
        if empty:  # each weight came to be by itself
            plain.tie_weights()
        pictures: Reader | None = None
        if anatomy.sees(config):
            processor = load_processor(folder)
            anatomy.refuse_other_eyes(plain)
            pictures = reader_of(plain, processor, min_pixels, max_pixels)
        else:
            processor = AutoTokenizer.from_pretrained(folder)
        below = name if adapter is None else adapter_base(adapter)
        keep_masters(model)
        policy = cls(
            model if shard else model.to(device), processor, pictures, below, dtype, system
        )
        if gradient_checkpointing:  # a layer's pass that is made again going back has no cache
            policy.reads_openings = False
        if shard:
            policy._shard(torch.device(device), offload=offload)
        elif check:
            check_scores(policy)
            policy.reads_openings = policy.reads_openings and scores_openings(policy)
        return policy

    @property
    def device(self) -> torch.device:
        """Of passes."""
        if self.sharded is not None:
            return self.sharded.device
        found: torch.device = next(self.model.parameters()).device
        return found

    def arithmetic(self) -> AbstractContextManager[Any]:
        """Around all passes: weights that are kept in float32 compute in `dtype`."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    @property
    def plain_model(self) -> Any:
        """The transformers model, also where LoRA's wrapper is around it."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    @property
    def vocabulary(self) -> int:
        """Rows of the head; a few beyond the tokenizer's tokens in many models."""
        return int(self.plain_model.get_output_embeddings().weight.shape[0])

    def batch(self, conversations: Sequence[Conversation]) -> Batch:
        return make_batch(conversations, self.pad_id).to(self.device)

    def score(
        self,
        conversations: Sequence[Conversation],
        measure: Measure | None = None,
        temperature: float = 1.0,
    ) -> Scores:
        """Log-probabilities and entropies of what the agent chose, differentiable; of the distribution
        that this temperature makes of the model's."""
        batch = self._to_read(conversations)
        divided = self.sharded is not None and self.model is self.sharded.learner
        read = self.sharded.read if self.sharded is not None and divided else self._read
        with self.arithmetic():
            hidden, log_probs, entropies, *measured = read(batch, measure, temperature)
        lengths = [int(c.chosen().sum()) for c in conversations]
        return Scores(log_probs, entropies, lengths, hidden, *measured)

    def opening_of(self, conversation: Conversation) -> Opening | None:
        """What a learning pass reads once for all that begin with it; None where it reads each alone."""
        # Processes that divide weights have to pass equally often.
        return opening_of(conversation) if self.reads_openings and self.sharded is None else None

    def _to_read(self, conversations: Sequence[Conversation]) -> Batch | Opened:
        openings = [self.opening_of(c) for c in conversations]
        if are_shared(openings):
            return make_opened(conversations, openings, self.pad_id).to(self.device)
        return self.batch(conversations)

    def _read(
        self, batch: Batch | Opened, measure: Measure | None, temperature: float
    ) -> tuple[torch.Tensor, ...]:
        """All that a learning pass reads of the model: states, then what is made of them."""
        if isinstance(batch, Opened):
            rests, cache_word = batch.rests, anatomy.cache_word(self.plain_model)
            states = partial(self.hidden_states, seen={})
            hidden = read_opened(batch, states, cache_word)[rests.chosen]
            targets = rests.input_ids[rests.chosen]
        else:
            hidden = self.hidden_states(batch)[:, :-1][batch.chosen[:, 1:]]
            targets = batch.input_ids[:, 1:][batch.chosen[:, 1:]]
        found = chunked_scores(hidden, targets, self.logits, measure, temperature=temperature)
        return hidden, *found

    # Weights that are divided among processes.

    def _shard(self, device: torch.device, *, offload: bool) -> None:
        self.sharded = ShardedModel(self.model, self._read, device, self.dtype, offload=offload)
        self._becomes(self.sharded.learner)

    @contextmanager
    def gathered(self) -> Iterator[Twins]:
        """`model` is whole here and now, for any number of passes without a gradient; whose weights are
        whose. All processes enter at once. Where nothing is sharded it is the model itself."""
        if self.sharded is None or self.model is self.sharded.player:
            yield {parameter: parameter for parameter in self.model.parameters()}
            return
        with self.sharded.filled() as twins:
            self._becomes(self.sharded.player)
            try:
                yield twins
            finally:
                self._becomes(self.sharded.learner)

    def names(self) -> dict[torch.Tensor, str]:
        """Of the parameters that are trained."""
        return {p: name for name, p in self.model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def put_trained(self, weights: Mapping[str, torch.Tensor]) -> None:
        """What was kept of them, by their names; OtherWeights where that is of another model."""
        names = self.names()
        own = {name: parameter.shape for parameter, name in names.items()}
        theirs = {name: tensor.shape for name, tensor in weights.items()}
        if other := sorted(k for k in own.keys() | theirs.keys() if own.get(k) != theirs.get(k)):
            raise OtherWeights(
                f"other weights than this model trains: {len(other)} differ, {other[0]} the "
                "first. Take the model.name, model.lora and model.freeze_vision that the run was begun with"
            )
        for parameter, name in names.items():
            parameter.copy_(weights[name])

    def frozen(self) -> Policy:
        """The policy as it is now, for good."""
        other = copy.copy(self)
        if self.sharded is None:
            other._becomes(copy.deepcopy(self.model).requires_grad_(False).eval())
        else:
            other.sharded = self.sharded.frozen(other._read)
            other._becomes(other.sharded.learner)
        return other

    def _becomes(self, model: Any) -> None:
        self.model = model
        if self.pictures is not None and self.image_features is not None:
            self.image_features = self.image_features.of(self.plain_model)

    def hidden_states(
        self, batch: Batch, more: dict[str, Any] | None = None, seen: Seen | None = None
    ) -> torch.Tensor:
        """The last layer's states, B x S x width. `more` is given to the model besides; pictures that were
        `seen` are not looked at again."""
        out = anatomy.body_of(self.plain_model)(
            input_ids=batch.input_ids,
            **(more or {"use_cache": False}),
            **self.at(batch.position_ids),
            **self.kinds(batch.input_ids),
            **self.look(batch.images, seen=seen),
        )
        return out.last_hidden_state

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Scores over the vocabulary of the tokens that follow these states, in fp32."""
        return anatomy.logits(self.plain_model, hidden)

    def at(self, positions: torch.Tensor) -> dict[str, Any]:
        """Positions as the model takes them."""
        return {"position_ids": positions if self._grid else positions[0]}

    def kinds(self, ids: torch.Tensor) -> dict[str, Any]:
        """Which tokens are of pictures, for models that read a picture's tokens both ways."""
        if not self.both_ways:
            return {}
        return {"token_type_ids": self.of_pictures(ids).long()}

    def of_pictures(self, ids: torch.Tensor) -> torch.Tensor:
        """For every id, whether it is a picture's."""
        image_id = self.chat_format.image_id
        return torch.zeros_like(ids, dtype=torch.bool) if image_id is None else ids.eq(image_id)

    def look(
        self, images: Sequence[np.ndarray], *, keep: bool = False, seen: Seen | None = None
    ) -> dict[str, Any]:
        """Pictures as the model takes them; `keep` and `seen` as in agents/image_features.py."""
        if self.image_features is None:
            return {}
        return self.image_features.look(images, keep=keep, seen=seen)

    def save(self, folder: str | Path) -> None:
        """In the Hugging Face layout and in `dtype`; with LoRA, the adapter alone, naming the model below
        it."""
        with weights_written(folder):
            if hasattr(self.model, "peft_config"):
                for adapter in self.model.peft_config.values():
                    adapter.base_model_name_or_path = self.below
                self.model.save_pretrained(folder)
            else:
                stored: dict[int, torch.Tensor] = {}  # once, where a head shares its weights
                weights = {
                    name: stored.setdefault(weight.data_ptr(), weight.to(self.dtype))
                    for name, weight in self.model.state_dict().items()
                }
                self.model.save_pretrained(folder, state_dict=weights)
                # It told how the weights are kept in memory, by which others would load them.
                self.model.config.dtype = self.dtype
                self.model.config.save_pretrained(folder)
            self.processor.save_pretrained(folder)


def chunked_scores(
    hidden: torch.Tensor,
    targets: torch.Tensor,
    head: Callable[[torch.Tensor], torch.Tensor],
    measure: Measure | None = None,
    chunk: int = CHUNK,
    temperature: float = 1.0,
) -> tuple[torch.Tensor, ...]:
    """Log-probability of each target, entropy of each distribution, what is measured; in fp32."""

    def scores(states: torch.Tensor, where: slice) -> tuple[torch.Tensor, ...]:
        logits = head(states)
        log_probs = F.log_softmax(logits if temperature == 1.0 else logits / temperature, dim=-1)
        entropy = -(log_probs.exp() * log_probs).sum(-1)
        chosen = log_probs.gather(-1, targets[where][:, None])[:, 0]
        measured = () if measure is None else (measure(log_probs, where),)
        return (chosen, entropy, *measured)

    wheres = [slice(i, i + chunk) for i in range(0, max(len(hidden), 1), chunk)]
    parts = [
        checkpoint(scores, hidden[where], where, use_reentrant=False)
        if hidden.requires_grad and len(hidden) > chunk
        else scores(hidden[where], where)
        for where in wheres
    ]
    return tuple(torch.cat(same) for same in zip(*parts, strict=True))
