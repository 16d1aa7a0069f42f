"""A world for TRL's GRPOTrainer: `environment_factory("amft/VIRL-v0", split="train")`.

    trainer = GRPOTrainer(model, args=config, train_dataset=rows, environment_factory=environment_factory(
        "amft/GeneralPoints-v0", modality="text", split="train"))

Each row of the data set is a prompt and, as `seed` (or `index`), which instance is played: all members of a
group get the same one. What the world shows is appended to the prompt; the model answers by the tool
`answer`; the reward of an episode is its return, or with `reward="success"` 1 or 0. The model has to call
tools.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from envs.protocols.session import Session, make_world

REWARDS = ("return", "success")


def environment_factory(
    world: str, *, reward: str = "return", **arguments: Any
) -> Callable[[], Any]:
    """A class without constructor arguments, as TRL wants it. Whatever is wrong is told here."""
    if reward not in REWARDS:
        raise ValueError(f"reward={reward!r} is not one of {', '.join(REWARDS)}")
    make_world(world, arguments).close()
    name = world.rpartition("/")[2].partition("-")[0]
    return type(name, (_TaskEnvironment,), {"_world": (world, arguments), "_reward": reward})


class _TaskEnvironment:
    """What TRL plays: every public method but `reset` and `get_reward` is a tool."""

    _world: tuple[str, dict[str, Any]]
    _reward = "return"

    def __init__(self) -> None:
        self._session = Session(*self._world)

    def reset(self, **row: Any) -> Any:
        """A new episode: the row's `seed`, or `index`, says which."""
        index = row.get("index")
        chosen = row.get("seed") if index is None else index
        seed = None if chosen is None else int(chosen)
        return self._content(self._session.reset(seed=seed, split=row.get("split")))

    def answer(self, text: str) -> Any:
        """
        Answers what you were last shown, in the form that the task asks for.

        Args:
            text: The answer.

        Returns:
            What came of it, and what you see now.
        """
        if self._session.done:
            return "The episode has ended: do not answer any more."
        shown = self._session.answer(text)
        if shown["done"]:
            shown["text"] += " The episode has ended."
        return self._content(shown)

    def get_reward(self) -> float:
        """Of the whole episode."""
        if self._reward == "success":
            return float(self._session.success)
        return self._session.total_reward

    def _content(self, shown: dict[str, Any]) -> Any:
        """Text alone, or a new picture and the text."""
        if shown["image"] is None:
            return shown["text"]
        return [
            {"type": "image", "image": self._session.picture()},
            {"type": "text", "text": shown["text"]},
        ]
