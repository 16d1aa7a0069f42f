"""The contract of engines: conversations are asked about, sampled answers come as they are written.

    engine.ask(request)            a conversation waits for an answer
    engine.answers()               [(request, sample)] of those that have been written since; [] is "not yet"
    engine.release(conversation)   the episode is over: whatever is kept for it may go
    engine.refresh()               the weights have changed: nothing computed before holds
    engine.rest()                  nothing is asked for a while: memory may go to the learner

`answers` works or waits for a moment, so that whoever asks can look after its worlds in between. A sample
depends on its conversation and its seed, not on what else is being written. An answer that could not be had
is a Sample with `error`, not an exception: a bad episode is data.

An engine whose `reads_policy` is true answers by the policy's own weights: where they are divided among
processes, they are brought together for a whole rollout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from agents.conversation import Conversation


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Temperature 0 takes the likeliest; top_k 0 is all."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 2:
            raise ValueError(f"sampling: temperature={self.temperature} must be from 0 to 2")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"sampling: top_p={self.top_p} must be above 0 and at most 1")
        if self.top_k < 0:
            raise ValueError(f"sampling: top_k={self.top_k} must be 0 (all) or more")

    @property
    def learnt_at(self) -> float:
        """The temperature of the policy that learns from what was sampled: greedy answers are the model's."""
        return self.temperature or 1.0


GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True, eq=False)
class Request:
    """A conversation that waits for an answer, the seed of its random numbers, how it is to be written."""

    conversation: Conversation
    seed: int
    sampling: Sampling = Sampling()
    max_new_tokens: int = 256

    def turn_seed(self) -> list[int]:
        """Differs from turn to turn; the same whatever the engine has done before."""
        return [self.seed, len(self.conversation.answers)]

    def uniforms(self) -> np.ndarray:
        """Uniform numbers, one for each token of this answer."""
        return np.random.default_rng(self.turn_seed()).random(self.max_new_tokens)


@dataclass
class Sample:
    """An answer's ids, its stop token included, with log-probabilities under the model at the sampling
    temperature (the plain model where that is 0) and under the distribution that was sampled from, which
    leaves some tokens out (none from engines that do not tell)."""

    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    sampled_log_probs: list[float] = field(default_factory=list)
    text: str | None = None
    """Of engines that give words alone."""
    cut: bool = False
    """Whether a limit ended these words; ids that a limit ended have no stop token."""
    error: str | None = None


Written = list[tuple[Request, Sample]]


class Engine(Protocol):
    together: bool
    """Whether it is to be asked for all conversations that go on before it writes. What is written then does
    not hang on the clock to the last bit, and slow worlds are waited for. Else answers are written while
    worlds step."""

    def ask(self, request: Request) -> None: ...

    def answers(self) -> Written: ...

    def release(self, conversation: Conversation) -> None: ...

    def refresh(self) -> None: ...

    def rest(self) -> None: ...


def written(engine: Engine, requests: Sequence[Request]) -> list[Sample]:
    """The answers to all of them, in order, for callers without worlds."""
    for request in requests:
        engine.ask(request)
    samples: dict[int, Sample] = {}
    while len(samples) < len(requests):
        samples |= {id(request): sample for request, sample in engine.answers()}
    return [samples[id(request)] for request in requests]
