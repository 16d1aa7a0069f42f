"""`amft/OpenEnv-v0`: somebody else's OpenEnv server, played as a world.

    gymnasium.make("amft/OpenEnv-v0", url="http://localhost:8000")

| verdict         | reward       | when                                                     |
| --------------- | ------------ | -------------------------------------------------------- |
| `acted`         | the server's | the answer was sent                                      |
| `not_an_action` | 0            | the action wants a number, and the answer ends with none |

The agent's text becomes the one required field of the server's action, or `action_field`. It is shown
`text_field` of the observation, or all fields as JSON, and `image_field`, base64 of a picture or a list of
several. Where the server is of this suite, its `system`, `tools` and `tool` are those of this world. A server
that dies costs its episode: a step raises, and the next reset connects anew.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

import httpx
import numpy as np
from PIL import Image as PILImage

from envs.contract import (
    EndedBy,
    Image,
    Outcome,
    Scene,
    World,
    one_of,
    picture_size,
    whole_number,
)
from envs.picture_files import open_picture
from envs.protocols import need_openenv
from envs.tools import Tool

LARGEST_PICTURE = 4096
MOST_PICTURES = 64
_NUMBER = re.compile(
    r"(?<![\d.,])(?<!\d[eE])(?<!\d[eE][-+])"  # no part of a longer number
    r"-?(?:\d{1,3}(?:,\d{3}){1,4}|\d{1,15})(?:\.\d{1,15})?(?!.*\d)",
    re.DOTALL,
)
_OWN_FIELDS = ("metadata", "done", "reward")


class RemoteVerdict(StrEnum):
    ACTED = "acted"
    NOT_AN_ACTION = "not_an_action"


class RemoteError(RuntimeError):
    """The server is not there, or says something that can not be played."""


class OpenEnvWorld(World):
    """See the module's docstring; the arguments are those of `gymnasium.make`."""

    verdicts = RemoteVerdict

    def __init__(
        self,
        *,
        url: str,
        split: str | None = None,
        modality: str = "text",
        action_field: str | None = None,
        text_field: str | None = None,
        image_field: str | None = None,
        size: Sequence[int] | None = (224, 224),
        success: str = "field",
        goal: str = "",
        max_steps: int = 50,
        seconds: float = 60.0,
        render_mode: str | None = None,
    ) -> None:
        """
        url           of the server, such as http://localhost:8000
        split         given to its resets; None gives none
        modality      "visual" shows the field `image_field`, in `size` (height, width); None: "image",
                      or "images" where that shows nothing
        size          None leaves pictures as they are, and shows any number of them, as `images`
        action_field  of the action; None: the only required one, as the server's schema says
        text_field    of the observation; None: "text" where there is one, else all fields as JSON
        success       "field": the observation's `success`, or where there is none as by "reward":
                      the episode ended with a positive one
        goal          what the agent is told first, before what the server shows
        max_steps     answers after which the episode is cut
        seconds       how long a reply may take
        """
        need_openenv()
        self._visual = one_of("modality", modality, ("text", "visual")) == "visual"
        self._size = picture_size("size", size) if self._visual and size is not None else None
        super().__init__(
            image_size=self._size,
            images=self._visual and self._size is None,
            render_mode=render_mode,
        )
        self._url, self._split, self._goal = str(url).rstrip("/"), split, goal
        self._text_field, self._image_field = text_field, image_field
        self._by_field = one_of("success", success, ("field", "reward")) == "field"
        self._max_steps = whole_number("max_steps", max_steps, 1, 100_000)
        self._seconds = float(seconds)
        self._action_field, self._kind = self._action(action_field)
        self._client: Any = None
        self._steps = 0
        self._pictures: tuple[Image, ...] = ()
        self._fields: dict[str, Any] = {}

    def begin(self, rng: np.random.Generator, options: dict[str, Any]) -> Scene:
        asked: dict[str, Any] = {"seed": int(rng.integers(2**31))} | options
        if self._split is not None:
            asked["split"] = self._split
        self._steps, self._pictures = 0, ()
        found = self._ask("reset", **asked)
        scene = self._scene_of(found)
        self._brief()
        return replace(scene, text=f"{self._goal}\n{scene.text}".strip())

    def respond(self, text: str) -> Outcome:
        self._steps += 1
        ended_by = EndedBy.OUT_OF_STEPS if self._steps >= self._max_steps else None
        value = _as_kind(text, self._kind)
        if value is None:
            feedback = f"That is not an action: end with a number ({self._kind})."
            scene = Scene(feedback, images=self._pictures)
            return Outcome(RemoteVerdict.NOT_AN_ACTION, 0.0, scene, feedback, ended_by)
        found = self._ask("step", {self._action_field: value})
        scene, reward = self._scene_of(found), float(found.reward or 0.0)
        if found.done:
            ended_by = self._ending(reward)
        said = self._fields.get("feedback")
        told = said if isinstance(said, str) else ""
        return Outcome(RemoteVerdict.ACTED, reward, scene, told, ended_by)

    def facts(self) -> dict[str, Any]:
        """What the server shows, without its pictures."""
        left_out = (self._image_field, "image", "images", "system", "tools", "tool")
        return {"server": {k: v for k, v in self._fields.items() if k not in left_out}}

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):  # the connection may be gone already
                client.close()

    def _ending(self, reward: float) -> EndedBy:
        known = self._fields.get("success") if self._by_field else None
        if known is True or (not isinstance(known, bool) and reward > 0):
            return EndedBy.SUCCESS
        named = self._fields.get("ended_by")
        reasons = {str(reason): reason for reason in EndedBy if reason is not EndedBy.SUCCESS}
        return reasons.get(str(named), EndedBy.FAILURE)

    def _scene_of(self, found: Any) -> Scene:
        if not isinstance(found.observation, dict):
            raise RemoteError(f"{self._url}: an observation is not an object")
        self._fields = {k: v for k, v in found.observation.items() if k not in _OWN_FIELDS}
        if self._visual:
            name = self._image_field or ("images" if self._fields.get("image") is None else "image")
            self._pictures = self._pictures_of(self._fields.get(name))
        tool = self._fields.get("tool")
        named = tool if isinstance(tool, str) else ""
        return Scene(self._text_of(), images=self._pictures, tool=named)

    def _brief(self) -> None:
        """What a server of this suite tells with a reset."""
        system, tools = self._fields.get("system"), self._fields.get("tools")
        self.system = system if isinstance(system, str) else ""
        try:
            self.tools = tuple(map(Tool.of_others, tools)) if isinstance(tools, list) else ()
        except ValueError as error:
            raise RemoteError(f"{self._url}: {error}") from None

    def _text_of(self) -> str:
        name = self._text_field or ("text" if "text" in self._fields else None)
        if name is None:
            pictures = (self._image_field, "image", "images")
            shown = {k: v for k, v in self._fields.items() if k not in pictures}
            return json.dumps(shown, ensure_ascii=False)
        if name not in self._fields:
            raise RemoteError(
                f"{self._url}: text_field={name!r} is not in the observation, which has "
                f"{', '.join(self._fields)}"
            )
        value = self._fields[name]
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def _pictures_of(self, said: Any) -> tuple[Image, ...]:
        """The pictures; none are those of before."""
        several = said if isinstance(said, list) else [] if said is None else [said]
        if len(several) > MOST_PICTURES:
            raise RemoteError(f"{self._url}: {len(several)} pictures in one observation")
        if not several:
            blank = () if self._size is None else (np.zeros((*self._size, 3), np.uint8),)
            return self._pictures or blank
        if self._size is not None and len(several) > 1:
            raise RemoteError(f"{self._url} shows several pictures: play it with size=None")
        return tuple(map(self._picture_of, several))

    def _picture_of(self, said: Any) -> Image:
        try:
            data = base64.b64decode(str(said).rpartition(",")[2], validate=True)
            with open_picture(io.BytesIO(data)) as opened:
                if max(opened.size) > LARGEST_PICTURE:
                    raise ValueError(f"{opened.size} is larger than {LARGEST_PICTURE}")
                picture = opened.convert("RGB")
        except (ValueError, OSError, SyntaxError, PILImage.DecompressionBombError) as error:
            raise RemoteError(f"{self._url}: what it shows as a picture is none: {error}") from None
        if self._size is None:
            return np.asarray(picture).copy()
        height, width = self._size
        if picture.size != (width, height):
            picture = picture.resize((width, height), PILImage.Resampling.LANCZOS)
        return np.asarray(picture).copy()

    def _action(self, name: str | None) -> tuple[str, str]:
        """The action's field that takes the agent's text, and its JSON type."""
        try:
            reply = httpx.get(f"{self._url}/schema", timeout=self._seconds)
            schema = reply.raise_for_status().json()["action"]
            fields = {k: v.get("type") for k, v in schema["properties"].items() if k != "metadata"}
            required = [k for k in schema.get("required") or () if k in fields]
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
        ) as error:
            raise ValueError(
                f"url={self._url!r}: no OpenEnv server answers there with a schema ({error})"
            ) from None
        candidates = required or list(fields)
        if name is None and len(candidates) != 1:
            raise ValueError(
                f"url={self._url!r}: its action has the fields {', '.join(candidates)}: "
                "say action_field= which takes the agent's text"
            )
        chosen = one_of("action_field", candidates[0] if name is None else name, tuple(fields))
        kind = str(fields[chosen])
        return chosen, kind if kind in ("integer", "number") else "string"

    def _ask(self, what: str, *values: Any, **named: Any) -> Any:
        from openenv.core import GenericEnvClient

        try:
            if self._client is None:
                client = GenericEnvClient(base_url=self._url, message_timeout_s=self._seconds)
                self._client = client.sync()
                self._client.connect()
            return getattr(self._client, what)(*values, **named)
        except Exception as error:
            self.close()
            raise RemoteError(f"{self._url}: {what} failed: {error}") from error


def _as_kind(text: str, kind: str) -> Any:
    """The action's value; None where a number is wanted and the text ends with none."""
    if kind == "string":
        return text
    found = _NUMBER.search(text[-200:])
    if found is None:
        return None
    number = float(found[0].replace(",", ""))
    if kind == "number":
        return number
    return int(number) if number.is_integer() else None
