"""`unknown_options(config)`: for each option that no part of the method takes, which there are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from omegaconf import DictConfig

from amft_mm.config.settings import options_of
from amft_mm.learning.credit import check
from amft_mm.learning.value import ValueHead
from amft_mm.methods.exploration import exploration
from amft_mm.methods.imitation import imitation
from amft_mm.methods.rival import Rival


def unknown_options(config: DictConfig) -> Iterator[str]:
    method = config.method
    for family, find in (("imitation", imitation), ("exploration", exploration)):
        settings = method[family]
        taken = _taken_by(find(settings.name))
        yield from _unknown(f"method.{family}", settings.name, options_of(settings), taken)
    credit = {str(name): value for name, value in method.credit.items()}
    if credit.get("credit") == "gae":
        taken = _taken(ValueHead, ("policy", "processes", "micro_batch_tokens", "minibatches"))
        del credit["credit"]
    else:
        taken = _taken(check)
    yield from _unknown("method.credit", str(method.credit.credit), credit, taken)
    if method.rival:
        taken = _taken(Rival, ("policy", "learner"))
        yield from _unknown("method.rival", "it", dict(method.rival), taken)


def _taken_by(module: Any) -> list[str] | None:
    """By a loss, by what it needs, and by the stream that it may have."""
    taken = _taken(module.loss, ("tokens", "totals"))
    if taken is None:
        return None
    stream = getattr(module, "stream", None)
    more = [] if stream is None else _taken(stream, ("offered",))
    return None if more is None else [*taken, *getattr(module, "OPTIONS", ()), *more]


def _taken(called: Callable[..., Any], given: tuple[str, ...] = ()) -> list[str] | None:
    """Names of the options; None is any."""
    parameters = inspect.signature(called).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    return [name for name in parameters if name not in given]


def _unknown(
    setting: str, name: str, options: dict[str, Any], taken: list[str] | None
) -> Iterator[str]:
    for option in options:
        if taken is not None and option not in taken:
            known = ", ".join(taken) or "no options"
            yield (
                f"{setting}.{option}: {name} takes {known}. Leave it out; one that a preset sets goes by "
                f"~{setting}.{option}"
            )
