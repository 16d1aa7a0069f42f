"""Makes a plain Gymnasium game playable by a model that sees and writes.

`DiscreteGame(env)` takes an environment with a discrete action space that can show itself: as
pictures (`render_mode="rgb_array"`, or image observations) or, with `modality="text"`, as text
(`render_mode="ansi"`). Its actions get names, its episodes the contract of a `World`:

| verdict         | reward              | when                                                  |
| --------------- | ------------------- | ----------------------------------------------------- |
| `acted`         | the game's          | the text names an action; the game has carried it out |
| `not_an_action` | `unreadable_reward` | it does not; the game stands still                    |

`make_discrete_game` builds the game by its name: `gymnasium.make("amft/Discrete-v0", game=...)`.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from PIL import Image as PILImage

from envs.answers import read_answer
from envs.arguments import make_env
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

Success = Callable[[float, bool], bool]
"""(the last reward, whether the game ended by itself and not by its time limit) -> success."""


def _rewarded(reward: float, by_itself: bool) -> bool:
    return by_itself and reward > 0


def _ended(reward: float, by_itself: bool) -> bool:
    return by_itself


def _lasted(reward: float, by_itself: bool) -> bool:
    return not by_itself


SUCCESSES: dict[str, Success] = {"reward": _rewarded, "end": _ended, "last": _lasted}


@dataclass(frozen=True)
class Profile:
    """What a game does not say of itself. `success`: a key of SUCCESSES; `legend`: of its text."""

    actions: tuple[str, ...]
    goal: str
    success: str = "reward"
    legend: str = ""


PROFILES = {
    "FrozenLake": Profile(
        ("left", "down", "right", "up"),
        "Cross the frozen lake to the goal without falling into a hole.",
        legend="S start, F ice, H hole, G goal; you are in brackets.",
    ),
    "CliffWalking": Profile(
        ("up", "right", "down", "left"),
        "Walk from the bottom left to the goal at the bottom right; keep off the cliff between.",
        "end",
        "x you, C cliff, T goal.",
    ),
    "Taxi": Profile(
        ("down", "up", "right", "left", "pick up", "drop off"),
        "Drive the taxi to the passenger, pick the passenger up, and drop them off at their goal.",
        legend="[] taxi, () passenger, <> their goal, | wall.",
    ),
    "CartPole": Profile(
        ("left", "right"), "Push the cart left or right to keep the pole upright.", "last"
    ),
    "MountainCar": Profile(
        ("left", "none", "right"), "Rock the car until it reaches the flag on the hill.", "end"
    ),
    "Acrobot": Profile(
        ("negative", "none", "positive"), "Swing the arm's tip above the line by torque.", "end"
    ),
    "Blackjack": Profile(("stick", "hit"), "Get nearer to 21 than the dealer, but not above."),
    "LunarLander": Profile(
        ("none", "left engine", "main engine", "right engine"), "Land between the flags."
    ),
}
"""By the name of the game without its version."""


class GameVerdict(StrEnum):
    """What one answer came to."""

    ACTED = "acted"
    NOT_AN_ACTION = "not_an_action"


class DiscreteGame(World):
    """See the module's docstring."""

    verdicts = GameVerdict

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        *,
        modality: str = "visual",
        action_names: Sequence[str] | None = None,
        goal: str | None = None,
        success: str | Success | None = None,
        unreadable_reward: float = 0.0,
        mistakes: int = 3,
        size: Sequence[int] | None = None,
        splits: Sequence[str] = (),
        render_mode: str | None = None,
    ) -> None:
        """
        modality           "visual" (pictures) or "text" (env built with render_mode="ansi")
        action_names       one for each action; known games have names, others "action 0", ...
        goal               what the agent is told to achieve
        success            "reward": the game ends by itself with a positive reward; "end": it ends
                           by itself; "last": it lasts until its time limit; or a function (last
                           reward, ended by itself) -> bool. Unknown games: "reward"
        unreadable_reward  for an answer that names no action
        mistakes           so many such answers in a row end the episode
        size               (height, width) of the pictures; None keeps the game's own
        splits             values of the argument `split` of the function that made it, if it has one
        """
        self._splits = tuple(splits)
        self._visual = one_of("modality", modality, ("visual", "text")) == "visual"
        self._game = env
        profile = PROFILES.get(_name_of(env), Profile((), "Play the game as well as you can."))
        self._actions = _check_names(env.action_space, action_names or profile.actions or None)
        self._first_action = int(getattr(env.action_space, "start", 0))
        self._goal = profile.goal if goal is None else goal
        if profile.legend and not self._visual:
            self._goal += f" {profile.legend}"
        if callable(success):
            self._is_success = success
        else:
            self._is_success = SUCCESSES[
                one_of("success", success or profile.success, tuple(SUCCESSES))
            ]
        self._unreadable_reward = float(unreadable_reward)
        self._mistakes_allowed = whole_number("mistakes", mistakes, 1, 1_000_000)
        self._size = None if size is None else picture_size("size", size)
        self._game_info: dict[str, Any] = {}
        self._chosen: str | None = None
        self._mistakes = 0
        super().__init__(
            image_size=self._probe_size() if self._visual else None, render_mode=render_mode
        )

    def begin(self, rng: np.random.Generator, options: dict[str, Any]) -> Scene:
        observation, self._game_info = self._game.reset(
            seed=int(rng.integers(2**31)), options=options or None
        )
        self._mistakes, self._chosen = 0, None
        task = f'{self._goal}\n{self._choice()}\nAnswer with JSON: {{"action": "..."}}'
        return self._scene_of(observation, task)

    def respond(self, text: str) -> Outcome:
        action = read_action(text, self._actions)
        if action is None:
            return self._misunderstood()
        self._mistakes, self._chosen = 0, self._actions[action]
        observation, reward, terminated, truncated, self._game_info = self._game.step(
            action + self._first_action
        )
        ended_by = None
        if terminated or truncated:
            reward_now = float(reward)
            if self._is_success(reward_now, bool(terminated)):
                ended_by = EndedBy.SUCCESS
            else:
                ended_by = EndedBy.FAILURE if terminated else EndedBy.OUT_OF_STEPS
        feedback = f"Your action: {self._chosen}."
        scene = self._scene_of(observation, feedback)
        return Outcome(GameVerdict.ACTED, float(reward), scene, feedback, ended_by)

    def expert(self) -> str:
        """The game's own `best_action()`, or by value iteration of the transitions (`P`) that it tells."""
        best_action = getattr(self._game.unwrapped, "best_action", None)
        if best_action is not None:
            return json.dumps({"action": self._actions[int(best_action())]})
        table = getattr(self._game.unwrapped, "P", None)
        state = getattr(self._game.unwrapped, "s", None)
        if table is None or state is None:
            raise NotImplementedError(
                f"{_name_of(self._game)} has no table of its transitions and no best_action(), so it "
                "has no expert"
            )
        if getattr(self, "_planned", None) is not table:
            self._planned, self._policy = table, best_actions(table)
        return json.dumps({"action": self._actions[self._policy[int(state)]]})

    @property
    def splits(self) -> tuple[str, ...]:
        return self._splits

    def facts(self) -> dict[str, Any]:
        game_info = copy.deepcopy(self._game_info)  # what a caller keeps must not change later
        return {"action": self._chosen, "actions": list(self._actions), "game": game_info}

    def close(self) -> None:
        self._game.close()

    def _misunderstood(self) -> Outcome:
        assert self._scene is not None
        self._mistakes += 1
        self._chosen = None
        feedback = f"That is not an action. {self._choice()}"
        ended_by = EndedBy.OUT_OF_ATTEMPTS if self._mistakes >= self._mistakes_allowed else None
        scene = Scene(self._said(feedback), self._scene.image)
        reward = self._unreadable_reward
        return Outcome(GameVerdict.NOT_AN_ACTION, reward, scene, feedback, ended_by)

    def _choice(self) -> str:
        return f"Actions: {', '.join(self._actions)}."

    def _scene_of(self, observation: Any, said: str) -> Scene:
        return Scene(self._said(said), self._picture(observation) if self._visual else None)

    def _said(self, text: str) -> str:
        if self._visual:
            return text
        drawing = self._game.render()
        if not isinstance(drawing, str):
            raise ValueError(
                f"modality='text' needs a game built with render_mode='ansi'; "
                f"{_name_of(self._game)} rendered a {type(drawing).__name__}."
            )
        return f"{text}\n{_plain(drawing)}"

    def _picture(self, observation: Any) -> Image:
        picture = observation if _is_picture(self._game.observation_space) else self._game.render()
        if not isinstance(picture, np.ndarray):
            raise ValueError(
                f"modality='visual' needs a game built with render_mode='rgb_array' or with image "
                f"observations; {_name_of(self._game)} shows a {type(picture).__name__}."
            )
        picture = np.asarray(picture, np.uint8)
        if picture.ndim == 2 or picture.shape[2] == 1:
            picture = np.repeat(picture.reshape(*picture.shape[:2], 1), 3, axis=2)
        if self._size is None or picture.shape[:2] == self._size:
            return np.ascontiguousarray(picture)
        height, width = self._size
        smooth = PILImage.Resampling.LANCZOS
        return np.asarray(PILImage.fromarray(picture).resize((width, height), smooth)).copy()

    def _probe_size(self) -> tuple[int, int]:
        if self._size is not None:
            return self._size
        observation, _ = self._game.reset(seed=0)
        height, width = self._picture(observation).shape[:2]
        return height, width


def make_discrete_game(
    *,
    game: str = "FrozenLake-v1",
    modality: str = "visual",
    action_names: Sequence[str] | None = None,
    goal: str | None = None,
    success: str | Success | None = None,
    unreadable_reward: float = 0.0,
    mistakes: int = 3,
    size: Sequence[int] | None = None,
    render_mode: str | None = None,
    **game_arguments: Any,
) -> DiscreteGame:
    """A `DiscreteGame` by its game's name; other keywords go to the game (`is_slippery=False`)."""
    visual = one_of("modality", modality, ("visual", "text")) == "visual"
    env = _game(game, game_arguments)
    if not (visual and _is_picture(env.observation_space)):
        wanted = "rgb_array" if visual else "ansi"
        offered = env.metadata.get("render_modes", [])
        if wanted not in offered:
            raise ValueError(
                f"modality={modality!r} needs a game that renders as {wanted!r}; {game} offers "
                f"{', '.join(map(repr, offered)) or 'nothing'}."
            )
        env.close()
        env = _game(game, game_arguments | {"render_mode": wanted})
    return DiscreteGame(
        env,
        modality=modality,
        action_names=action_names,
        goal=goal,
        success=success,
        unreadable_reward=unreadable_reward,
        mistakes=mistakes,
        size=size,
        render_mode=render_mode,
    )


def _game(name: str, arguments: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    try:
        return make_env(name, arguments)
    except (gymnasium.error.Error, TypeError) as error:
        raise ValueError(f"game={name!r:.100} cannot be made: {error}") from None


def read_action(text: str, names: Sequence[str]) -> int | None:
    """The action a text chooses: {"action": ...}, or a last line that is nothing but an action."""
    fields = read_answer(text, ("action",))
    if fields is not None:
        return _index_of(fields["action"], names)
    lines = text[-2_000:].strip().splitlines()
    return _index_of(lines[-1], names) if lines else None


def _index_of(choice: Any, names: Sequence[str]) -> int | None:
    """By its name, or else by its place: a name may be another's place."""
    said = _canonical(str(choice)[:200])
    for known in (list(map(_canonical, names)), list(map(str, range(len(names))))):
        if said in known:
            return known.index(said)
    return None


def _canonical(name: str) -> str:
    words = re.sub(r"[\s_]+|(?<=\w)-+(?=\w)", " ", name.casefold())
    return words.strip(" .!\"'`*()").removeprefix("action:").strip()


def best_actions(table: Any) -> list[int]:
    """The best action in each state by value iteration.

    `table[state][action]` lists (probability, next state, reward, whether the game ends).
    """
    states, actions = len(table), len(table[0])
    outcomes = max(len(table[s][a]) for s in range(states) for a in range(actions))
    chance, reward, goes_on = (np.zeros((states, actions, outcomes)) for _ in range(3))
    following = np.zeros((states, actions, outcomes), np.int64)
    for s in range(states):
        for a in range(actions):
            for k, (p, n, r, ended) in enumerate(table[s][a]):
                chance[s, a, k], following[s, a, k] = p, n
                reward[s, a, k], goes_on[s, a, k] = r, not ended
    values = np.zeros(states)
    for _ in range(10_000):
        worth = (chance * (reward + 0.99 * goes_on * values[following])).sum(axis=2)
        before, values = values, worth.max(axis=1)
        if np.abs(values - before).max() < 1e-9:
            break
    return [int(action) for action in worth.argmax(axis=1)]


def _check_names(space: spaces.Space[Any], names: Sequence[str] | None) -> list[str]:
    if not isinstance(space, spaces.Discrete):
        raise ValueError(f"the game's actions are {space}: expected a Discrete action space.")
    if names is None:
        return [f"action {number}" for number in range(int(space.n))]
    several = isinstance(names, Sequence) and not isinstance(names, str)
    told = list(map(str, names)) if several else []  # 1, 2, 3 are names too
    if len(told) != space.n or len(set(map(_canonical, told))) != space.n:
        raise ValueError(
            f"action_names={names!r:.200} do not fit: expected {space.n} different "
            f"names, one for each action."
        )
    return told


def _is_picture(space: spaces.Space[Any]) -> bool:
    return (
        isinstance(space, spaces.Box)
        and space.dtype == np.uint8
        and (len(space.shape) == 2 or (len(space.shape) == 3 and space.shape[2] in (1, 3)))
        and min(space.shape[:2]) > 3
    )


def _name_of(env: gymnasium.Env[Any, Any]) -> str:
    if env.spec is not None:
        return str(env.spec.name)
    return type(env.unwrapped).__name__


def _plain(drawing: str) -> str:
    """A terminal's drawing as plain text: colours become [highlight], (bold) and <colour>."""

    def in_marks(match: re.Match[str]) -> str:
        codes = match[1].split(";")
        if any(len(code) == 2 and code[0] == "4" for code in codes):
            return f"[{match[2]}]"
        return f"({match[2]})" if "1" in codes else f"<{match[2]}>"

    coloured = re.compile(r"\x1b\[([0-9;]+)m([^\x1b]*)\x1b\[0m")
    while (plainer := coloured.sub(in_marks, drawing)) != drawing:  # colours within colours
        drawing = plainer
    return re.sub(r"\x1b\[[0-9;]*m", "", drawing).strip("\n")
