"""`amft/FrozenLake-v0`: cross the ice to the flag, around the holes.

The game that Gymnasium ships, with a new lake at each reset: start at the top left, goal at the bottom right,
four of five tiles are ice, and there is always a way. Without slipping unless asked for. Splits:

    train, id     lakes of 4 x 4 that never are the same
    ood_size      lakes of 6 x 6
    ood_slippery  the lakes of `id`, where two of three moves go aside, as in Gymnasium's own
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.adapters import DiscreteGame
from envs.contract import one_of, picture_size, whole_number
from envs.grids.tiles import grid_picture, kept

SPLITS = ("train", "id", "ood_size", "ood_slippery")
ACTIONS = ("left", "down", "right", "up")
MOVES = ((0, -1), (1, 0), (0, 1), (-1, 0))
ICE_SHARE = 0.8
LARGER = 2
"""So many rows more has `ood_size`."""
GOAL = "Cross the frozen lake to the goal without falling into a hole."
LEGEND = "P you, . ice, O hole, G goal."
SLIPPERY = (
    "The ice is slippery: two of three moves go aside, to the left or right of where you head."
)
_TILES = {".": "ice", "O": "ice+hole", "G": "ice+flag"}

Table = list[list[list[tuple[float, int, float, bool]]]]


class Lake(gymnasium.Env[Any, Any]):
    """The plain game. `P` lists its transitions and `s` is where one stands, as Gymnasium's own has it."""

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 4}  # noqa: RUF012

    def __init__(
        self,
        *,
        length: int = 4,
        slippery: bool = False,
        part: str = "all",
        max_steps: int | None = None,
        size: tuple[int, int] = (112, 112),
        render_mode: str | None = None,
    ) -> None:
        """`part` is "train" or "eval", which share no lake, or "all"."""
        self.render_mode = render_mode
        self._length, self._slippery, self._part, self._size = length, slippery, part, size
        self._max_steps = (10 if slippery else 4) * length if max_steps is None else max_steps
        self.observation_space = spaces.Discrete(length * length)
        self.action_space = spaces.Discrete(4)
        self.P: Table = []
        self.s = self._steps = 0
        self._lake: list[str] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        while True:
            self._lake = _draw(self._length, self.np_random)
            fits = self._part == "all" or kept("".join(self._lake)) == (self._part == "eval")
            if fits and _has_a_way(self._lake):
                break
        self.P = _transitions(self._lake, self._slippery)
        self.s = self._steps = 0
        return self.s, {"lake": list(self._lake)}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        ways = self.P[self.s][int(action)]
        way = ways[int(self.np_random.integers(len(ways)))]
        _, self.s, reward, ended = way
        self._steps += 1
        cut = not ended and self._steps >= self._max_steps
        return self.s, reward, ended, cut, {"lake": list(self._lake)}

    def render(self) -> Any:
        here = divmod(self.s, self._length)
        if self.render_mode == "ansi":
            rows = [list(row) for row in self._lake]
            rows[here[0]][here[1]] = "P"
            return "\n".join(" ".join(row) for row in rows)
        tiles = [[_TILES[tile] for tile in row] for row in self._lake]
        tiles[here[0]][here[1]] += "+player"
        return grid_picture(tiles, self._size)


def make_frozen_lake(
    *,
    split: str = "train",
    modality: str = "visual",
    length: int = 4,
    max_steps: int | None = None,
    size: Sequence[int] = (112, 112),
    mistakes: int = 3,
    unreadable_reward: float = 0.0,
    render_mode: str | None = None,
) -> DiscreteGame:
    """
    split              one of SPLITS
    modality           "visual" (pictures) or "text" (letters)
    length             of a side, in training
    max_steps          None allows four times the length, and ten times where it is slippery
    size               (height, width) of the picture
    mistakes           so many answers in a row that name no action end the episode
    unreadable_reward  of such an answer
    """
    one_of("split", split, SPLITS)
    visual = one_of("modality", modality, ("visual", "text")) == "visual"
    length = whole_number("length", length, 3, 12)
    slippery = split == "ood_slippery"
    game = Lake(
        length=length + LARGER if split == "ood_size" else length,
        slippery=slippery,
        part="train" if split == "train" else "eval",
        max_steps=None if max_steps is None else whole_number("max_steps", max_steps, 1, 1000),
        size=picture_size("size", size),
        render_mode="rgb_array" if visual else "ansi",
    )
    told = (GOAL, *((SLIPPERY,) if slippery else ()), *(() if visual else (LEGEND,)))
    return DiscreteGame(
        game,
        modality=modality,
        action_names=ACTIONS,
        goal=" ".join(told),
        success="reward",
        mistakes=mistakes,
        unreadable_reward=unreadable_reward,
        size=size,
        splits=SPLITS,
        render_mode=render_mode,
    )


def _draw(length: int, rng: np.random.Generator) -> list[str]:
    rows = np.where(rng.random((length, length)) < ICE_SHARE, ".", "O")
    rows[0, 0], rows[-1, -1] = ".", "G"
    return ["".join(row) for row in rows]


def _has_a_way(lake: Sequence[str]) -> bool:
    length = len(lake)
    found, waiting = {(0, 0)}, [(0, 0)]
    while waiting:
        i, j = waiting.pop()
        if lake[i][j] == "G":
            return True
        for di, dj in MOVES:
            there = (i + di, j + dj)
            if min(there) >= 0 and max(there) < length and there not in found:
                found.add(there)
                if lake[there[0]][there[1]] != "O":
                    waiting.append(there)
    return False


def _transitions(lake: Sequence[str], slippery: bool) -> Table:
    length = len(lake)

    def way(state: int, action: int, chance: float) -> tuple[float, int, float, bool]:
        i, j = divmod(state, length)
        if lake[i][j] != ".":
            return chance, state, 0.0, True
        i = min(max(i + MOVES[action][0], 0), length - 1)
        j = min(max(j + MOVES[action][1], 0), length - 1)
        return chance, i * length + j, float(lake[i][j] == "G"), lake[i][j] != "."

    def ways(state: int, action: int) -> list[tuple[float, int, float, bool]]:
        if not slippery:
            return [way(state, action, 1.0)]
        return [way(state, (action + turn) % 4, 1 / 3) for turn in (-1, 0, 1)]

    return [[ways(state, action) for action in range(4)] for state in range(length * length)]
