"""What a run writes and reads back: its folder, checkpoints, metrics, episodes, curves; and the processes it is made of."""
