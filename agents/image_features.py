"""The eye of a model: features of pictures, each picture looked at once.

    model(**eye.look(images))             equal pictures of a batch are looked at once
    model(**eye.look(images, keep=True))  and remembered until `forget()`, in bounded memory
    model(**eye.look(images, seen={}))    and by further passes that are given the same dictionary

The members of a group see the same street corner, from turn to turn: a memory spares the vision tower
the repetition. Where the tower is not trained (LoRA on the language model alone, or frozen) features
stay true for good: they are always remembered, without a gradient, in learning as in playing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from agents import anatomy
from agents.pictures import Reader
from envs.bounded_cache import BoundedCache

Features = tuple[torch.Tensor, tuple[torch.Tensor, ...]]
"""What the language model reads at a picture's tokens, and what joins it deeper down (if anything)."""
Seen = dict[Any, Features]
"""By picture."""
MOST_BYTES = 512 * 2**20


@dataclass
class _Form:
    """In what the vision tower gives features: which class, and whether several pictures are one tensor."""

    made: Any = None
    in_one: bool = False


class ImageFeatures:
    """`look(images)` gives the keyword arguments by which the model takes the pictures in order."""

    def __init__(self, model: Any, reader: Reader, most_bytes: int = MOST_BYTES) -> None:
        """`model` is the transformers model, without a wrapper."""
        self._model, self._reader = model, reader
        self._form = _Form()
        self._kept: BoundedCache[Features] = BoundedCache(most_bytes)

    def of(self, model: Any) -> ImageFeatures:
        """Of another model's eye. What a frozen one has seen is seen by its copies."""
        other = ImageFeatures(model, self._reader)
        if self.frozen and other.frozen:
            other._kept, other._form = self._kept, self._form
        return other

    @property
    def frozen(self) -> bool:
        return not any(p.requires_grad for p in anatomy.eye_of(self._model))

    def forget(self) -> None:
        """The weights have changed."""
        if not self.frozen:
            self._kept.clear()

    def apart(self) -> AbstractContextManager[None]:
        """What is looked at inside is forgotten afterwards, and what was remembered before is still there."""
        return self._kept.apart()

    def look(
        self, images: Sequence[np.ndarray], *, keep: bool = False, seen: Seen | None = None
    ) -> dict[str, Any]:
        if not images:
            return {}
        frozen = self.frozen
        keep = keep or frozen
        keys = [name_of(image) for image in images]
        before: Seen = {} if seen is None else seen
        known = {key: self._kept.peek(key) if keep else before.get(key) for key in keys}
        new = {key: image for key, image in zip(keys, images, strict=True) if known[key] is None}
        found: Seen = {key: value for key, value in known.items() if value}
        if new:
            for key, features in zip(new, self._see(list(new.values()), frozen), strict=True):
                found[key] = features
                if keep:
                    found[key] = self._kept.get(key, partial(_alone, features), _bytes)
        before.update(found)
        return {"mm_encoder_outputs": {"image": self._together([found[key] for key in keys])}}

    def _see(self, images: list[np.ndarray], frozen: bool) -> list[Features]:
        parameter = anatomy.eye_of(self._model)[0]
        found: list[Features] = []
        for inputs, count in self._reader.inputs(images):
            with ExitStack() as without_gradient:
                if frozen:  # also where an engine asks: what is remembered is for learning too
                    without_gradient.enter_context(torch.inference_mode(False))
                    without_gradient.enter_context(torch.no_grad())
                there = {name: _moved(value, parameter) for name, value in inputs.items()}
                out = anatomy.body_of(self._model).get_image_features(**there, return_dict=True)
            self._form.made, self._form.in_one = (
                type(out),
                isinstance(out.pooler_output, torch.Tensor),
            )
            seen = list(out.pooler_output)
            if count == 1:  # perhaps in several tiles
                seen = [torch.cat([tile.reshape(-1, tile.shape[-1]) for tile in seen])]
            deeper = getattr(out, "deepstack_features", None) or []
            found += [(first, tuple(layer[i] for layer in deeper)) for i, first in enumerate(seen)]
        return found

    def _together(self, features: list[Features]) -> Any:
        """As the vision tower itself would have given them."""
        seen = tuple(first for first, _ in features)
        given: dict[str, Any] = {"pooler_output": torch.cat(seen) if self._form.in_one else seen}
        if features[0][1]:
            given["deepstack_features"] = [
                tuple(deeper[layer] for _, deeper in features)
                for layer in range(len(features[0][1]))
            ]
        return self._form.made(**given)


def _moved(value: Any, like: torch.Tensor) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return value.to(like.device, like.dtype if value.is_floating_point() else None)


def name_of(image: np.ndarray) -> tuple[bytes, tuple[int, ...]]:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest(), image.shape


def _alone(features: Features) -> Features:
    """Not as a view, which would keep a whole batch's features in memory."""
    first, deeper = features
    return first.clone(), tuple(layer.clone() for layer in deeper)


def _bytes(features: Features) -> int:
    return sum(part.numel() * part.element_size() for part in (features[0], *features[1]))
