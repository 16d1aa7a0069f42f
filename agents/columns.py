"""Files of episodes as they lie on disk: which columns there are and how pictures lie in them, for who reads
them without a model.

Demonstrations (agents/demonstrations.py) have `COLUMNS`; what a run keeps to be looked at
(amft_mm/runs/episodes.py) has those of `MORE` as well.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from envs.picture_files import open_picture

COLUMNS = {
    "name": "unique name of the demonstration",
    "world": "id of the environment (empty for imported chats)",
    "options": "JSON: the keyword arguments the environment was made with",
    "seed": "of the environment's reset",
    "messages": "what the environment (or user) said, turn by turn",
    "pictures": "the pictures, as PNG",
    "picture_of": "for each message the number of its first picture in `pictures`, -1 for none; they lie in "
    "order, up to the next message's first",
    "answers": "what the expert answered, one for each message",
    "slips": "numbers of the answers that are mistakes, made to be mended: shown, not imitated",
    "rewards": "the reward of each answer",
    "verdicts": "the environment's verdict on each answer",
    "success": "whether the episode succeeded",
    "stop": "why it ended",
    "corrupted": "how it was corrupted on purpose; empty if it was not",
    "system": "the environment's own system prompt; empty for none",
    "tools": "JSON: the tools that the environment declares",
    "tool_of": "for each message the name of the tool whose result it is, empty for none",
}
LATER = ("system", "tools", "tool_of")
"""Columns that folders may lack."""

MORE = {
    "step": "of the run",
    "phase": "rollout or evaluation",
    "label": "the environment of rollouts, the split of evaluations",
    "task": "number of the task instance among those played together",
    "member": "of its group",
    "feedback": "what the environment said to each answer",
    "facts": "JSON: what the environment knew before each answer",
    "experts": "what an expert would have answered; empty where nobody knows",
    "tokens": "JSON: each answer's tokens, see `answer_tokens`",
    "prompts": "JSON: what the model was newly shown for each answer, see `prompts_of`",
    "seconds": "from when each answer was asked for until it was there",
}

LARGEST_PICTURE = 50_000_000
"""Pixels; a file that claims more is not opened."""


def pictures_in(picture_of: Sequence[int], count: int) -> list[range]:
    """Which of `count` pictures each message has, by the numbers of their first ones."""
    places, following = [], count
    for first in reversed(picture_of):
        if not -1 <= first < count:
            raise ValueError(f"picture_of has {first}, but there are {count} pictures")
        stop = following if following > first else first + 1
        places.append(range(first, stop) if first >= 0 else range(0))
        following = first if first >= 0 else following
    return places[::-1]


def decoded(data: bytes) -> np.ndarray:
    """A picture file's pixels, RGB."""
    with open_picture(io.BytesIO(data)) as picture:
        if picture.width * picture.height > LARGEST_PICTURE:
            raise ValueError(f"a picture of {picture.width} x {picture.height} is too large")
        try:
            return np.asarray(picture.convert("RGB"))
        except SyntaxError as error:  # Pillow's of some broken files; of others it is an OSError
            raise OSError(f"a picture cannot be read: {error}") from None
