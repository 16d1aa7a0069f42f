"""Worlds: Gymnasium environments for agents that see. Text and pictures in, free text out.

Importing this package registers `amft/GeneralPoints-v0`, `amft/VIRL-v0`, `amft/Math-v0`,
`amft/FrozenLake-v0`, `amft/Sokoban-v0`, `amft/Discrete-v0` and `amft/OpenEnv-v0`. It knows nothing of models
and imports no torch.
"""

from gymnasium.envs import registration

from amft_mm_gymnasium import register_worlds
from envs.contract import EndedBy, FreeText, Outcome, Scene, World
from envs.image import Pictures
from envs.tools import BadCall, Call, Tool, read_call, write_call

__all__ = [
    "BadCall",
    "Call",
    "EndedBy",
    "FreeText",
    "Outcome",
    "Pictures",
    "Scene",
    "Tool",
    "World",
    "read_call",
    "write_call",
]

register_worlds(registration)
