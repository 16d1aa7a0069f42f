"""`amft/Sokoban-v0`: push the boxes onto their targets.

Rooms are made backwards: boxes begin on their targets and are pulled away, so that each room can be solved.
A step costs 0.1; a box that comes onto a target is worth 1, one that leaves it -1, and the last one 10 more,
as in gym-sokoban, which the field plays. Splits:

    train, id    rooms of 6 x 6, walls included, with one box; they never are the same
    ood_boxes    two boxes
    ood_size     rooms of 8 x 8
    ood_words    the rooms of `id`, where the actions are called 1, 2, 3, 4, as the prompt says
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.adapters import DiscreteGame
from envs.contract import one_of, picture_size, whole_number
from envs.grids.tiles import grid_picture, kept

SPLITS = ("train", "id", "ood_boxes", "ood_size", "ood_words")
ACTIONS = ("up", "down", "left", "right")
NUMBERED = ("1", "2", "3", "4")
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
LARGER = 2
SHORTEST, LONGEST = 3, 16
"""Moves that a room's best solution takes."""
GOAL = "Push every box onto a target. You can push one box, and pull none."
LEGEND = "# wall, . floor, o target, B box, * box on a target, P you, + you on a target."
WORDS = "1 is up, 2 is down, 3 is left, 4 is right."
_PULLS = 30
_STATES = 60_000
_TRIES = 40_000
"""Rooms that are made for one that fits. Settings that have any need some thousand at most."""

Spot = tuple[int, int]


class Room(NamedTuple):
    """Where one can stand, and the part of it where boxes belong; hashable, so that ways are remembered."""

    floor: frozenset[Spot]
    targets: frozenset[Spot]


class Sokoban(gymnasium.Env[np.ndarray, Any]):
    """The plain game."""

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 4}  # noqa: RUF012

    def __init__(
        self,
        *,
        length: int = 6,
        boxes: int = 1,
        part: str = "all",
        max_steps: int = 30,
        size: tuple[int, int] = (168, 168),
        render_mode: str | None = None,
    ) -> None:
        """`part` is "train" or "eval", which share no room, or "all"."""
        self.render_mode = render_mode
        self._length, self._count, self._part = length, boxes, part
        self._max_steps, self._size = max_steps, size
        self.observation_space = spaces.MultiDiscrete([7] * length**2)
        self.action_space = spaces.Discrete(4)
        self._room = Room(frozenset(), frozenset())
        self._player: Spot = (0, 0)
        self._boxes: frozenset[Spot] = frozenset()
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        best = self._draw()
        self._steps = 0
        return self._observed(), {"shortest": len(best)}

    def _draw(self) -> tuple[int, ...]:
        """Takes the first room made that is of the part and neither too easy nor too hard; its solution."""
        for _ in range(_TRIES):
            made = _make_room(self._length, self._count, self.np_random)
            if made is None:
                continue
            self._room, self._player, self._boxes = made
            if self._part != "all" and kept(self._letters()) != (self._part == "eval"):
                continue
            best = solution(*made)
            if best is not None and SHORTEST <= len(best) <= LONGEST:
                return best
        raise ValueError(
            f"rooms of {self._length} x {self._length} with {self._count} boxes, part={self._part!r}: found "
            f"none that {SHORTEST} to {LONGEST} moves solve in {_TRIES} tries; choose a larger length or "
            "fewer boxes (split='ood_boxes' has one box more)."
        )

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        before = len(self._boxes & self._room.targets)
        moved = moved_to(self._room, self._player, self._boxes, int(action))
        if moved is not None:
            self._player, self._boxes = moved
        stored = len(self._boxes & self._room.targets)
        solved = stored == len(self._boxes)
        reward = -0.1 + (stored - before) + (10.0 if solved else 0.0)
        self._steps += 1
        cut = not solved and self._steps >= self._max_steps
        return self._observed(), reward, solved, cut, {"stored": stored}

    def best_action(self) -> int:
        """The first of the shortest way from here; any where the boxes are stuck."""
        best = solution(self._room, self._player, self._boxes)
        return best[0] if best else 0

    def render(self) -> Any:
        rows = self._letters().split("\n")
        if self.render_mode == "ansi":
            return "\n".join(" ".join(row) for row in rows)
        return grid_picture([[_TILES[letter] for letter in row] for row in rows], self._size)

    def _letters(self) -> str:
        def letter(spot: Spot) -> str:
            there = spot in self._room.targets
            if spot == self._player:
                return "+" if there else "P"
            if spot in self._boxes:
                return "*" if there else "B"
            return "o" if there else "." if spot in self._room.floor else "#"

        every = range(self._length)
        return "\n".join("".join(letter((i, j)) for j in every) for i in every)

    def _observed(self) -> np.ndarray:
        return np.array(["#.oB*P+".index(c) for c in self._letters().replace("\n", "")])


_TILES = {
    "#": "wall", ".": "floor", "o": "floor+target", "B": "floor+box", "*": "floor+stored",
    "P": "floor+player", "+": "floor+target+player",
}  # fmt: skip


def moved_to(
    room: Room, player: Spot, boxes: frozenset[Spot], action: int
) -> tuple[Spot, frozenset[Spot]] | None:
    """Player and boxes after a move; None where it is not possible."""
    di, dj = MOVES[action]
    there, beyond = (player[0] + di, player[1] + dj), (player[0] + 2 * di, player[1] + 2 * dj)
    if there not in room.floor:
        return None
    if there not in boxes:
        return there, boxes
    if beyond not in room.floor or beyond in boxes:
        return None
    return there, boxes - {there} | {beyond}


@lru_cache(maxsize=4096)
def solution(room: Room, player: Spot, boxes: frozenset[Spot]) -> tuple[int, ...] | None:
    """The shortest way; None where there is none, or none is found in time."""
    start = (player, boxes)
    came: dict[Any, Any] = {start: None}
    waiting = deque([start])
    while waiting and len(came) < _STATES:
        state = waiting.popleft()
        if state[1] == room.targets:
            way: list[int] = []
            while came[state] is not None:
                state, action = came[state]
                way.append(action)
            return tuple(reversed(way))
        for action in range(4):
            following = moved_to(room, *state, action)
            if following is not None and following not in came:
                came[following] = (state, action)
                waiting.append(following)
    return None


def _make_room(
    length: int, count: int, rng: np.random.Generator
) -> tuple[Room, Spot, frozenset[Spot]] | None:
    """A room with its boxes pulled away from the targets at random; None if that came to nothing."""
    inner = [(i, j) for i in range(1, length - 1) for j in range(1, length - 1)]
    walls = rng.random(len(inner)) < 0.2
    free = [spot for spot, wall in zip(inner, walls, strict=True) if not wall]
    if len(free) < count + 3:
        return None
    chosen = [free[k] for k in rng.permutation(len(free))[: count + 1].tolist()]
    *targets, player = chosen
    room = Room(frozenset(free), frozenset(targets))
    boxes = room.targets
    for _ in range(_PULLS * count):
        di, dj = MOVES[int(rng.integers(4))]
        back = (player[0] + di, player[1] + dj)
        if back not in room.floor or back in boxes:
            continue
        behind = (player[0] - di, player[1] - dj)
        if behind in boxes and rng.random() < 0.7:  # it is pulled along
            boxes = boxes - {behind} | {player}
        player = back
    if boxes & room.targets:
        return None
    return room, player, boxes


def make_sokoban(
    *,
    split: str = "train",
    modality: str = "visual",
    length: int = 6,
    boxes: int = 1,
    max_steps: int = 30,
    size: Sequence[int] = (168, 168),
    mistakes: int = 3,
    unreadable_reward: float = 0.0,
    render_mode: str | None = None,
) -> DiscreteGame:
    """
    split              one of SPLITS
    modality           "visual" (pictures) or "text" (letters)
    length             of a side in training, walls included
    boxes              in training
    max_steps          moves after which an episode is cut
    size               (height, width) of the picture
    mistakes           so many answers in a row that name no action end the episode
    unreadable_reward  of such an answer
    """
    one_of("split", split, SPLITS)
    visual = one_of("modality", modality, ("visual", "text")) == "visual"
    length = whole_number("length", length, 5, 10)
    boxes = whole_number("boxes", boxes, 1, 3)
    game = Sokoban(
        length=length + LARGER if split == "ood_size" else length,
        boxes=boxes + 1 if split == "ood_boxes" else boxes,
        part="train" if split == "train" else "eval",
        max_steps=whole_number("max_steps", max_steps, 1, 1000),
        size=picture_size("size", size),
        render_mode="rgb_array" if visual else "ansi",
    )
    numbered = split == "ood_words"
    told = (GOAL, *((WORDS,) if numbered else ()), *(() if visual else (LEGEND,)))
    return DiscreteGame(
        game,
        modality=modality,
        action_names=NUMBERED if numbered else ACTIONS,
        goal=" ".join(told),
        success="reward",
        mistakes=mistakes,
        unreadable_reward=unreadable_reward,
        size=size,
        splits=SPLITS,
        render_mode=render_mode,
    )
