"""What a run writes and reads back: its folder, checkpoints, metrics, episodes, curves; its processes."""
