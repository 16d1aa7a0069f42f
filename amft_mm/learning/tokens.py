"""The tokens that an agent chose, of many conversations one after the other: what losses are made of.

Losses are sums of token terms over numbers of the whole batch (`Totals`): a micro-batch, a process or
padding more or less changes nothing, and a batch without a single demonstration is 0, not a NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import torch

LARGEST_LOG_RATIO = 20.0
"""A ratio beyond exp of it is taken for exp of it: an infinite one times an advantage of 0 is no number."""


@dataclass(frozen=True)
class Totals:
    """Of the whole batch, over all micro-batches and processes."""

    tokens: int
    sequences: int
    given: int = 0
    """Tokens that an expert wrote in rollouts."""
    won: int = 0
    """The agent's own tokens in episodes that succeeded."""
    lost: int = 0
    """And in those that did not."""

    @property
    def per_token(self) -> float:
        return 1.0 / max(self.tokens, 1)

    @property
    def per_sequence(self) -> float:
        return 1.0 / max(self.sequences, 1)


@dataclass
class Tokens:
    """T chosen tokens of some conversations. Only `log_probs` and `entropies` carry gradients."""

    log_probs: torch.Tensor
    entropies: torch.Tensor
    lengths: list[int]
    """How many of the T belong to each conversation, in order."""
    old_log_probs: torch.Tensor | None = None
    """When they were sampled, NaN for what was given; None says: under the present weights."""
    advantages: torch.Tensor | None = None
    reference_log_probs: torch.Tensor | None = None
    measured: torch.Tensor | None = None
    """What the loss asked to be measured of the whole distributions."""
    given: torch.Tensor | None = None
    """Which tokens of rollouts an expert wrote; None: none."""
    outcomes: torch.Tensor | None = None
    """1 for each token of an episode that succeeded, else 0."""
    success_rates: torch.Tensor | None = None
    """Of the episode's group."""
    log_k: torch.Tensor | None = None
    """Of the learner's probabilities to the engine's, 0 for what was given; None: nothing to compare."""
    weights: torch.Tensor | None = None
    """What each token's term counts, where the engine's probabilities are corrected for."""
    notes: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Sums and counts of what is worth logging; see `note`."""

    def __post_init__(self) -> None:
        count = len(self.log_probs)
        if sum(self.lengths) != count:
            raise ValueError(f"lengths add up to {sum(self.lengths)}, but there are {count} tokens")
        for each in fields(self):
            part = getattr(self, each.name)
            if isinstance(part, torch.Tensor) and len(part) != count:
                raise ValueError(f"{each.name} has {len(part)} entries for {count} tokens")

    @property
    def sequence(self) -> torch.Tensor:
        """For each token the number of its conversation."""
        lengths = torch.tensor(self.lengths, dtype=torch.long, device=self.log_probs.device)
        return torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)

    @property
    def first(self) -> torch.Tensor:
        """For each token the number of its conversation's first."""
        lengths = torch.tensor(self.lengths, dtype=torch.long, device=self.log_probs.device)
        return self.spread(lengths.cumsum(0) - lengths)

    def need_measured(self) -> torch.Tensor:
        if self.measured is None:
            raise ValueError("this loss needs what it names in NEEDS to be measured")
        return self.measured

    def sums(self, values: torch.Tensor) -> torch.Tensor:
        """Sums of token values by conversation."""
        out = torch.zeros(len(self.lengths), dtype=values.dtype, device=values.device)
        return out.index_add(0, self.sequence, values)

    def means(self, values: torch.Tensor) -> torch.Tensor:
        """Means of token values by conversation; 0 for one without tokens."""
        lengths = torch.tensor(self.lengths, dtype=values.dtype, device=values.device)
        return self.sums(values) / lengths.clamp(min=1)

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """Values of conversations, for each of their tokens."""
        return values[self.sequence]

    @property
    def own_length(self) -> torch.Tensor:
        """For each token the number of tokens of its conversation."""
        return self.spread(
            torch.tensor(self.lengths, dtype=torch.long, device=self.log_probs.device)
        ).to(self.log_probs.dtype)

    @property
    def log_ratios(self) -> torch.Tensor:
        """log pi / pi_old; 0 in value, with pi's gradient, where sampling was under present weights or
        nothing was sampled."""
        now = self.log_probs.detach()
        old = now if self.old_log_probs is None else self.old_log_probs
        apart = self.log_probs - torch.where(old.isnan(), now, old)
        return apart.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)

    @property
    def own(self) -> torch.Tensor:
        """1 for what the agent wrote itself, 0 for what was given."""
        if self.given is None:
            return torch.ones_like(self.log_probs)
        return (~self.given).to(self.log_probs.dtype)

    def weighed(self, terms: torch.Tensor) -> torch.Tensor:
        """Terms of tokens, or of conversations, times what they count."""
        if self.weights is None:
            return terms
        by_token = len(terms) == len(self.log_probs)
        return terms * (self.weights if by_token else self.means(self.weights))

    def note(self, name: str, values: torch.Tensor) -> None:
        """The mean of all values that are noted by a name is among the figures of the step."""
        total, count = self.notes.get(name, (0.0, 0))
        self.notes[name] = (total + float(values.detach().sum()), count + len(values))


def token_mean(terms: torch.Tensor, tokens: Tokens, totals: Totals) -> torch.Tensor:
    """The mean over all tokens of the batch."""
    return tokens.weighed(terms).sum() * totals.per_token


def scatter_mean(terms: torch.Tensor, tokens: Tokens, totals: Totals) -> torch.Tensor:
    """The mean over all conversations of their tokens' means."""
    return (tokens.weighed(terms) / tokens.own_length).sum() * totals.per_sequence


def length_mean(
    terms: torch.Tensor, tokens: Tokens, totals: Totals, length: float | None
) -> torch.Tensor:
    """The mean over all conversations of their tokens' sum over one length for all; None: a token mean."""
    if length is None:
        return token_mean(terms, tokens, totals)
    if not length > 0:
        raise ValueError(f"exploration: length={length} must be above 0")
    return tokens.weighed(terms).sum() * totals.per_sequence / length


Loss = Callable[[Tokens, Totals], torch.Tensor]
"""A scalar, to be summed over micro-batches and processes."""
