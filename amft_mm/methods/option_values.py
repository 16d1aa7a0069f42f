"""`refused_values(config)`: what the method's losses, and its credit, say of the values of their options.

A loss checks its options when it is called, for exploration after the whole warm-up. So each is called
beforehand, on a few tokens that are made up. One that does not take these even with its defaults (of
somebody's own, which wants something measured) is left to find out by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from omegaconf import DictConfig

from agents.plugins import kinds_of, of_another_kind
from amft_mm.config.settings import options_of
from amft_mm.learning.credit import check
from amft_mm.learning.tokens import Tokens, Totals
from amft_mm.learning.value import ValueHead
from amft_mm.methods.exploration import exploration
from amft_mm.methods.imitation import imitation

CALIBRATED = {"sed": {"tau": 0.5}}
"""What a loss is only given once it has been measured."""


def refused_values(config: DictConfig) -> Iterator[str]:
    method = config.method
    for family, find in (("imitation", imitation), ("exploration", exploration)):
        loss, settings = find(method[family].name).loss, options_of(method[family])
        yield from of_another_kind(f"method.{family}", loss, settings)
        given = {option: settings[option] for option in kinds_of(loss) if option in settings}
        later = CALIBRATED.get(method[family].name, {})
        given |= {option: value for option, value in later.items() if given.get(option) is None}
        if given and _fails(loss, later) is None and (why := _fails(loss, given)):
            yield "method." + (why if why.startswith(family) else f"{family}: {why}")
    takes = ValueHead if method.credit.credit == "gae" else check
    yield from of_another_kind("method.credit", takes, options_of(method.credit))


def _fails(loss: Callable[..., Any], options: dict[str, Any]) -> str | None:
    try:
        loss(_made_up(), Totals(tokens=4, sequences=2, given=1, won=1, lost=2), **options)
    except (ValueError, TypeError) as error:
        return str(error)
    return None


def _made_up() -> Tokens:
    """Of two conversations; an expert wrote one of the four."""
    halves = torch.full((4,), 0.5)
    return Tokens(
        log_probs=(-halves).requires_grad_(),
        entropies=halves,
        lengths=[2, 2],
        old_log_probs=torch.tensor([-0.4, -0.6, -0.5, torch.nan]),
        advantages=torch.tensor([1.0, 1.0, -1.0, -1.0]),
        reference_log_probs=-halves,
        measured=halves,
        given=torch.tensor([False, False, False, True]),
        outcomes=torch.tensor([1.0, 1.0, 0.0, 0.0]),
        success_rates=halves,
        log_k=torch.zeros(4),
    )
