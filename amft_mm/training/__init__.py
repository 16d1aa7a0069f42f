"""One step of a run, and what joins it where only some methods have it."""
