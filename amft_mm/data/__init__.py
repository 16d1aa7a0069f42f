"""What a step learns from: demonstrations, and rollouts that are played and credited."""
