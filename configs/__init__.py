"""Hydra's configuration groups. Users add to them from a folder of their own by --config-dir."""
