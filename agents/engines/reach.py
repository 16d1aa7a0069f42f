"""How far each token of a cached pass may look, for the kinds of attention that a model's layers have.

    reach = Reach(model)            ModelError where a layer keeps something else than keys and values
    reach.masks(columns, end, ...)  as the model takes them: one mask, or one for each kind of layer

All keys and values are kept, also where a layer has a window: what lies before it is masked.
"""

from __future__ import annotations

from typing import Any

import torch

from agents.anatomy import ModelError

FULL, SLIDING = "full_attention", "sliding_attention"


class Reach:
    """See the module's docstring."""

    def __init__(self, model: Any) -> None:
        text = model.config.get_text_config()
        self._window: int | None = getattr(text, "sliding_window", None)
        kinds = set(getattr(text, "layer_types", None) or ())
        if other := sorted(kinds - {FULL, SLIDING}):
            raise ModelError(
                f"engine=hf: {type(model).__name__} has layers of the kind {', '.join(other)}, which keep a "
                "state instead of each token's keys and values, and the cache of engine=hf holds the latter "
                "alone. Take engine=vllm; learning needs no cache"
            )
        if not kinds:  # models of one kind say no more than their window
            kinds = {FULL if self._window is None else SLIDING}
        self._kinds = kinds
        implementation = str(model.config.get_text_config()._attn_implementation)
        if implementation not in ("sdpa", "eager"):
            raise ModelError(
                f"engine=hf: model.attention={implementation} takes no mask, by which rows of different "
                "lengths are told apart. Take model.attention=sdpa, or engine=vllm"
            )
        self._added = implementation == "eager"

    def masks(
        self, columns: torch.Tensor, end: int, blocks: torch.Tensor | None, dtype: torch.dtype
    ) -> torch.Tensor | dict[str, torch.Tensor]:
        """`columns` (rows x new tokens) is where each new token stands in its row; tokens of one of the
        `blocks` (the same shape; -1 is none) see each other whatever their order."""
        places = torch.arange(end, device=columns.device)
        here = columns[:, None, :, None]
        seen = places <= here
        if blocks is not None:
            of_places = torch.full((len(columns), end), -1, device=columns.device)
            of_places.scatter_(1, columns, blocks)
            mine = blocks[:, None, :, None]
            seen = seen | ((of_places[:, None, None, :] == mine) & (mine >= 0))
        made = {FULL: seen}
        if SLIDING in self._kinds and self._window is not None:
            made[SLIDING] = seen & (places > here - self._window)
        if self._added:  # eager attention adds its mask to the scores
            lowest = torch.finfo(dtype).min
            made = {
                kind: torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(
                    ~mask, lowest
                )
                for kind, mask in made.items()
            }
        if len(self._kinds) > 1:
            return made
        (kind,) = self._kinds
        return made[kind]


def blocks_of(of_pictures: torch.Tensor) -> torch.Tensor:
    """Each run of true values has a number of its own in its row; -1 elsewhere."""
    before = torch.nn.functional.pad(of_pictures, (1, 0))[:, :-1]
    numbers = (of_pictures & ~before).long().cumsum(1) - 1
    return torch.where(of_pictures, numbers, -1)
