"""Worlds: Gymnasium environments for agents that see. Text and pictures in, free text out.

Importing this package registers `amft/GeneralPoints-v0`, `amft/VIRL-v0`, `amft/Math-v0`,
`amft/FrozenLake-v0`, `amft/Sokoban-v0`, `amft/Discrete-v0` and `amft/OpenEnv-v0`. It knows nothing of models
and imports no torch.
"""

from gymnasium.envs import registration

from amft_mm_gymnasium import register_worlds
from envs.contract import EndedBy, FreeText, Outcome, Scene, World

__all__ = ["EndedBy", "FreeText", "Outcome", "Scene", "World"]

register_worlds(registration)
