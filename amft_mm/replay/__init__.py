"""`python -m amft_mm.replay RUN`: what the agent saw, said and was told, turn by turn, as one HTML file."""
