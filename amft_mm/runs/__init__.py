"""What a run writes and reads back: folder, checkpoints, metrics, episodes, curves; and its processes."""
