"""Features of pictures, computed once a picture: equal pictures are looked at once.

The members of a group see the same street corner; a memory bounded in bytes spares the vision tower
the repetition, within a batch and from turn to turn. It holds for one set of weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from agents.policy import Policy
from envs.bounded_cache import BoundedCache

Features = tuple[torch.Tensor, tuple[torch.Tensor, ...]]
"""What the language model reads at a picture's tokens, and what joins it deeper down (if anything)."""


class PictureMemory:
    """`look(images)` gives the keyword arguments by which the model takes the pictures in order."""

    def __init__(self, policy: Policy, most_bytes: int) -> None:
        self._policy = policy
        self._kept: BoundedCache[Features] = BoundedCache(most_bytes)

    def clear(self) -> None:
        self._kept.clear()

    def look(self, images: Sequence[np.ndarray]) -> dict[str, Any]:
        if not images:
            return {}
        names = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
        shapes = [image.shape for image in images]
        new: dict[Any, np.ndarray] = {}
        found: dict[Any, Features] = {}
        for key, image in zip(zip(names, shapes, strict=True), images, strict=True):
            kept = self._kept.peek(key)
            if kept is None:
                new[key] = image
            else:
                found[key] = kept
        if new:
            for key, seen in zip(new, self._see(list(new.values())), strict=True):
                found[key] = seen
                self._kept.get(key, partial(found.__getitem__, key), _bytes)
        features = [found[key] for key in zip(names, shapes, strict=True)]
        return {"mm_encoder_outputs": {"image": self._together(features)}}

    def _see(self, images: list[np.ndarray]) -> list[Features]:
        assert self._policy.pictures is not None
        pixels, grids = self._policy.pictures.pixels(images)
        device = self._policy.device
        out = self._policy.plain_model.model.get_image_features(
            pixels.to(device, self._policy.plain_model.dtype), grids.to(device), return_dict=True
        )
        self._form = out
        deeper = getattr(out, "deepstack_features", None) or []
        return [
            (first, tuple(layer[i] for layer in deeper))
            for i, first in enumerate(out.pooler_output)
        ]

    def _together(self, features: list[Features]) -> Any:
        """As the vision tower itself would have given them."""
        given: dict[str, Any] = {"pooler_output": tuple(first for first, _ in features)}
        if features[0][1]:
            given["deepstack_features"] = [
                tuple(deeper[layer] for _, deeper in features)
                for layer in range(len(features[0][1]))
            ]
        return replace(self._form, **given)


def _bytes(features: Features) -> int:
    return sum(part.numel() * part.element_size() for part in (features[0], *features[1]))
