"""What a configuration asks for, in the words of what does not go together."""

from __future__ import annotations

from omegaconf import DictConfig

from amft_mm.config.settings import options_of
from amft_mm.methods.guidance import Guidance, guidance
from amft_mm.methods.imitation import imitation


def streams(config: DictConfig) -> bool:
    """Whether something of rollouts takes the place of demonstrations."""
    return hasattr(imitation(config.method.imitation.name), "stream")


def guides(config: DictConfig) -> bool:
    return bool(config.method.guidance.name != "none")


def guidance_of(config: DictConfig) -> Guidance:
    return guidance(config.method.guidance.name, options_of(config.method.guidance))


def noise(config: DictConfig) -> float:
    return float(config.train.reward_noise)
