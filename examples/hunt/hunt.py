"""A plain Gymnasium environment, which knows nothing of models that see and write, and the adapter.

`Hunt` is a hunter and a treasure on a board of 4 x 4. It has what plain environments have: numbered
actions and `render()`. `DiscreteGame` gives the actions names and turns the picture and the rules into a
task; since Hunt tells its transitions as `P` and its state as `s`, there is an expert as well.
"""

import gymnasium
import numpy as np
from gymnasium import spaces
from PIL import Image, ImageDraw

from envs.adapters import DiscreteGame

SIDE, CELL = 4, 28
CELLS = SIDE * SIDE
STEPS = [(-1, 0), (1, 0), (0, -1), (0, 1)]  # up, down, left, right


class Hunt(gymnasium.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 - as Gymnasium has it
    render_mode = "rgb_array"

    def __init__(self) -> None:
        self.action_space = spaces.Discrete(4)
        self.observation_space = spaces.Discrete(CELLS * CELLS)
        self.P = {s: {a: [transition(s, a)] for a in range(4)} for s in range(CELLS * CELLS)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        hunter, treasure = self.np_random.choice(CELLS, 2, replace=False)
        self.s = int(hunter * CELLS + treasure)
        return self.s, {}

    def step(self, action):
        _, self.s, reward, ended = self.P[self.s][int(action)][0]
        return self.s, reward, ended, False, {}

    def render(self) -> np.ndarray:
        page = Image.new("RGB", (SIDE * CELL, SIDE * CELL), "white")
        draw = ImageDraw.Draw(page)
        for cell in range(CELLS):
            draw.rectangle(box(cell), outline="lightgrey")
        draw.rectangle(box(self.s % CELLS, 6), fill="gold", outline="black")
        draw.ellipse(box(self.s // CELLS, 6), fill="darkgreen")
        return np.asarray(page)


def transition(state: int, action: int) -> tuple[float, int, float, bool]:
    """(probability, next state, reward, whether the game ends)"""
    hunter, treasure = divmod(state, CELLS)
    down, right = STEPS[action]
    row = min(max(hunter // SIDE + down, 0), SIDE - 1)
    column = min(max(hunter % SIDE + right, 0), SIDE - 1)
    hunter = row * SIDE + column
    found = hunter == treasure
    return 1.0, hunter * CELLS + treasure, float(found), found


def box(cell: int, margin: int = 0) -> tuple[int, int, int, int]:
    x, y = CELL * (cell % SIDE), CELL * (cell // SIDE)
    return x + margin, y + margin, x + CELL - margin, y + CELL - margin


def make(**arguments) -> DiscreteGame:
    game = gymnasium.wrappers.TimeLimit(Hunt(), max_episode_steps=12)
    return DiscreteGame(
        game,
        action_names=("up", "down", "left", "right"),
        goal="You are the green disc. Go to the gold square.",
        **arguments,
    )


gymnasium.register("examples/Hunt-v0", make)
