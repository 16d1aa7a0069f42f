"""Players: what turns observations into tokens and tokens into actions. Empty so far."""
