"""The contract of every world: text and pictures in, free text out.

A world is a Gymnasium environment. Its author writes three methods of `World`:

    begin(rng, options) -> Scene      deal a new task instance; `rng` alone decides it
    respond(text)       -> Outcome    answer one action; any string is legal and none raises
    expert()            -> str        (optional) the text that an expert would write now

and `World` does the rest: spaces, seeding, the life of an episode, and an `info` with these keys
at every reset and step:

    verdict    what the step came to: a member of the world's own `verdicts`; None after a reset
    success    final only when the episode has ended; False until then
    feedback   what the agent was told about its last action; "" if nothing
    ended_by   None while the episode runs, then why it ended: a member of `EndedBy`
    new_image  whether the pictures differ from those of the observation before

where there is something to tell

    system     after a reset: a system prompt of the world's own
    tools      after a reset: the tools that the agent may call, declared as chat templates want them
    tool       the name of the tool whose result the observation is

and whatever `facts()` adds. An observation is `text` and, in worlds that show pictures, either `image`, one
of always the same size, or `images`, a list of any number and sizes. Two worlds built and reset alike are
equal to the pixel.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, TypeVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import CustomSpaceError
from gymnasium.vector.utils import create_shared_memory

from envs.image import LONGEST_SIDE, Image, Pictures, is_image, side_by_side
from envs.tools import Tool

T = TypeVar("T")


class EndedBy(StrEnum):
    """Why an episode ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    OUT_OF_ATTEMPTS = "out_of_attempts"
    OUT_OF_STEPS = "out_of_steps"
    ERROR = "error"


@dataclass(frozen=True)
class Scene:
    """What the agent is shown: a text and, in the visual modality, a picture or several. `tool` is the name
    of the tool whose result it is."""

    text: str
    image: Image | None = None
    images: Sequence[Image] = ()
    tool: str = ""

    @property
    def pictures(self) -> tuple[Image, ...]:
        return tuple(self.images) if self.image is None else (self.image,)


@dataclass(frozen=True)
class Outcome:
    """What one action led to. `ended_by` is None while the episode goes on."""

    verdict: StrEnum
    reward: float
    scene: Scene
    feedback: str = ""
    ended_by: EndedBy | None = None


class ResetNeeded(gymnasium.error.ResetNeeded):
    """A step was asked of an episode that has not begun or has already ended."""


class FreeText(spaces.Text):
    """Every string. Samples are short printable ASCII; membership does not look at characters."""

    def __init__(self, max_length: int = 64, seed: int | np.random.Generator | None = None) -> None:
        printable = "".join(map(chr, range(32, 127)))
        super().__init__(max_length, min_length=0, charset=printable, seed=seed)

    def contains(self, x: Any) -> bool:
        return isinstance(x, str)

    def __repr__(self) -> str:
        return "FreeText()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FreeText)

    def __hash__(self) -> int:
        return hash(FreeText)


@create_shared_memory.register(FreeText)
def _no_shared_memory(space: FreeText, n: int = 1, ctx: Any = None) -> Any:
    """Texts of any length fit no block of shared memory; AsyncVectorEnv then says what to do."""
    raise CustomSpaceError(f"{space} has no fixed size: use shared_memory=False")


class World(gymnasium.Env[dict[str, Any], str]):
    """Base class of the suite's environments. See the module's docstring for what to write."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 1}  # noqa: RUF012
    verdicts: ClassVar[type[StrEnum]]
    system: str = ""
    """A system prompt of the world's own, told with a reset; `begin` may set it."""
    tools: tuple[Tool, ...] = ()
    """What the agent may call (envs/tools.py), told with a reset; `begin` may set it."""

    def __init__(
        self,
        *,
        image_size: tuple[int, int] | None = None,
        images: bool = False,
        render_mode: str | None = None,
    ) -> None:
        """
        image_size  (height, width) of the one picture of each observation
        images      observations have a list of pictures, any number of any sizes
        Neither of them: a world of text alone.
        """
        if images and image_size is not None:
            raise ValueError("image_size is of a world with one picture; images=True needs none")
        if image_size is not None:
            image_size = picture_size("image_size", image_size, 1, LONGEST_SIDE)
        self.render_mode = one_of("render_mode", render_mode, (None, "rgb_array"))
        parts: dict[str, spaces.Space[Any]] = {"text": FreeText()}
        if images:
            parts["images"] = Pictures()
        elif image_size is not None:
            parts["image"] = spaces.Box(0, 255, (*image_size, 3), np.uint8)
        self.observation_space = spaces.Dict(parts)
        self.action_space = FreeText()
        self._scene: Scene | None = None
        self._last_shown: list[tuple[Image, Image]] = []  # as they were shown
        self._outcome: Outcome | None = None
        self._last_action = ""

    # What a world's author writes.

    def begin(self, rng: np.random.Generator, options: dict[str, Any]) -> Scene:
        """Deals a new task instance, decided by `rng` and `options` alone."""
        raise NotImplementedError(f"{type(self).__name__} must define begin(rng, options)")

    def respond(self, text: str) -> Outcome:
        """Answers one action of the agent. Any string is legal; none raises."""
        raise NotImplementedError(f"{type(self).__name__} must define respond(text)")

    def expert(self) -> str:
        """The text that an expert would write now."""
        raise NotImplementedError(f"{type(self).__name__} has no expert")

    def mistake(self, rng: np.random.Generator) -> str:
        """What the expert would write now, but for the part that decides, which is wrong. For
        studies of bad demonstrations."""
        raise NotImplementedError(f"{type(self).__name__} has no mistakes to offer")

    @property
    def splits(self) -> tuple[str, ...]:
        """The values of the argument `split`; none for a world without it."""
        return ()

    def facts(self) -> dict[str, Any]:
        """What `info` says beyond the contract's own keys."""
        return {}

    # What Gymnasium calls.

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        self._scene, self._outcome, self._last_action = None, None, ""  # of a reset that raises
        super().reset(seed=seed)
        scene = self.begin(self.np_random, dict(options or {}))
        observation, self._scene = self._observation(scene), scene
        self._last_shown = _as_shown(scene)
        return observation, self._info(new_image=True)

    def step(self, action: str) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        if not isinstance(action, str):
            raise TypeError(f"an action is a string, got {type(action).__name__}: {action!r:.80}")
        if self._scene is None or (self._outcome and self._outcome.ended_by):
            raise ResetNeeded("the episode has not begun or has ended: call reset() before step()")
        before, outcome = self._last_shown, self.respond(action)
        self._scene, self._outcome, self._last_action = outcome.scene, outcome, action
        truncated = outcome.ended_by is EndedBy.OUT_OF_STEPS
        terminated = outcome.ended_by is not None and not truncated
        observation = self._observation(outcome.scene)
        info = self._info(new_image=not _same(outcome.scene.pictures, before))
        self._last_shown = _as_shown(outcome.scene)
        return observation, float(outcome.reward), terminated, truncated, info

    def render(self) -> Image | None:
        """The current scene as a person understands it: picture, text, last action, verdict."""
        if self.render_mode is None:
            return None
        if self._scene is None:
            raise ResetNeeded("nothing to render: call reset() first")
        from envs.frame import compose_frame

        return compose_frame(
            self.frame_image(),
            prompt=self._scene.text,
            action=self._last_action,
            verdict=str(self._outcome.verdict) if self._outcome else "",
            reward=self._outcome.reward if self._outcome else None,
            feedback=self._outcome.feedback if self._outcome else "",
        )

    def frame_image(self) -> Image | None:
        """The picture that `render` shows; worlds may add a map or the like."""
        return side_by_side(self._scene.pictures) if self._scene else None

    def sketch(self) -> dict[str, Any]:
        """What a viewer may draw of this instance beside its pictures: plain data, nothing by default."""
        return {}

    def _observation(self, scene: Scene) -> dict[str, Any]:
        parts = self.observation_space.spaces  # type: ignore[attr-defined]
        if "images" in parts:
            if not all(map(is_image, scene.pictures)):
                raise ValueError(f"{type(self).__name__}: pictures are uint8, height x width x 3")
            return {"text": scene.text, "images": [picture.copy() for picture in scene.pictures]}
        if "image" not in parts:
            return {"text": scene.text}
        if not scene.pictures:
            raise ValueError(f"{type(self).__name__} promised pictures, but its scene has none")
        if len(scene.pictures) > 1:
            raise ValueError(
                f"{type(self).__name__} shows several pictures: that wants images=True"
            )
        # A copy, whose changing harms nobody.
        return {"text": scene.text, "image": scene.pictures[0].copy()}

    def _info(self, *, new_image: bool) -> dict[str, Any]:
        done, scene = self._outcome, self._scene
        told: dict[str, Any] = {"tool": scene.tool} if scene is not None and scene.tool else {}
        if done is None and self.system:
            told["system"] = self.system
        if done is None and self.tools:
            told["tools"] = [tool.declared() for tool in self.tools]
        return {
            "verdict": done.verdict if done else None,
            "success": bool(done and done.ended_by is EndedBy.SUCCESS),
            "feedback": done.feedback if done else "",
            "ended_by": done.ended_by if done else None,
            "new_image": new_image and scene is not None and bool(scene.pictures),
            **told,
            **self.facts(),
        }


def _as_shown(scene: Scene) -> list[tuple[Image, Image]]:
    """Each picture, and what is on it now: a world may go on painting on the same one."""
    return [
        (picture, picture.copy() if picture.flags.writeable else picture)
        for picture in scene.pictures
    ]


def _same(pictures: Sequence[Image], before: Sequence[tuple[Image, Image]]) -> bool:
    """Whether these very pictures were shown before, and nothing was painted on them since."""
    return len(pictures) == len(before) and all(
        picture is shown and (kept is shown or np.array_equal(kept, picture))
        for picture, (shown, kept) in zip(pictures, before, strict=True)
    )


# How arguments are checked: the error names the argument, the value and what is allowed.


def one_of(name: str, value: Any, allowed: Iterable[T]) -> T:
    """`value` if it is one of `allowed`; else an error with the nearest allowed name."""
    options = list(allowed)
    for option in options:
        if type(value) is type(option) and value == option:
            return option
    hint = did_you_mean(str(value), map(str, options))
    raise ValueError(f"{name}={value!r:.100} is not one of {', '.join(map(repr, options))}.{hint}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence for the end of an error, or nothing where no name is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def whole_number(name: str, value: Any, low: int, high: int) -> int:
    """`value` as an int if it is a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"{name}={value!r:.100} is not a whole number from {low} to {high}.")
    if not low <= value <= high:
        raise ValueError(f"{name}={value} is out of range: allowed are {low} to {high}.")
    return int(value)


def share(name: str, value: float) -> float:
    """`value` if it is from 0 to 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value} must be from 0 to 1")
    return float(value)


def picture_size(name: str, value: Any, low: int = 28, high: int = 4096) -> tuple[int, int]:
    """`value` as (height, width)."""
    try:
        height, width = value
    except (TypeError, ValueError):
        raise ValueError(
            f"{name}={value!r:.100} is not a pair (height, width) of whole numbers."
        ) from None
    return (
        whole_number(f"{name}[0] (height)", height, low, high),
        whole_number(f"{name}[1] (width)", width, low, high),
    )


def no_unknown_options(options: dict[str, Any], allowed: Iterable[str]) -> None:
    """Raises where reset(options=...) holds a key that the world does not know."""
    for key in options:
        one_of("reset option", key, allowed)
