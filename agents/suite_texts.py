"""The texts of the suite's own worlds: what is told, what experts write, what verifiers answer.

The tiny model's tokenizer is trained on them. Deterministic in the seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium

import envs  # noqa: F401 - makes the worlds known

WORLDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("amft/GeneralPoints-v0", {"modality": "text", "prompts": "varied", "colors": "all"}),
    ("amft/GeneralPoints-v0", {"modality": "text", "thought": "steps", "face_rule": "rank"}),
    ("amft/GeneralPoints-v0", {"modality": "text", "thought": "search", "prompts": "varied"}),
    ("amft/VIRL-v0", {"modality": "text", "prompts": "varied"}),
    ("amft/VIRL-v0", {"modality": "text", "city": "newyork", "actions": "relative"}),
    ("amft/VIRL-v0", {"modality": "text", "city": "helsinki", "distances": True}),
    ("amft/VIRL-v0", {"modality": "text", "mode": "free", "instruction_as": "sentence"}),
    ("amft/VIRL-v0", {"modality": "text", "thought": "steps"}),
    (
        "amft/VIRL-v0",
        {"modality": "text", "thought": "steps", "answer": "short", "prompts": "varied"},
    ),
    (
        "amft/VIRL-v0",
        {"modality": "text", "answer": "short", "actions": "relative", "city": "newyork"},
    ),
    ("amft/Math-v0", {"prompts": "varied", "attempts": 2}),
    ("amft/Math-v0", {"source": "countdown", "attempts": 2}),
)


def suite_texts(seed: int, episodes: int) -> Iterator[str]:
    """All texts of so many episodes of each world, each begun with an answer that is wrong."""
    for name, arguments in WORLDS:
        env = gymnasium.make(name, disable_env_checker=True, **arguments).unwrapped
        for episode in range(episodes):
            observation, info = env.reset(seed=seed + episode)
            yield observation["text"]
            action = "I do not know."
            while not info["ended_by"]:
                observation, _, _, _, info = env.step(action)
                yield observation["text"]
                if not info["ended_by"]:
                    action = env.expert()  # type: ignore[attr-defined]
                    yield action
