"""Small worlds of tiles, made by the adapter: `amft/FrozenLake-v0` and `amft/Sokoban-v0`.

Each is a plain Gymnasium game that deals a new layout at each reset and tells its best action, wrapped by
envs/adapters.py. tiles.py draws them.
"""
