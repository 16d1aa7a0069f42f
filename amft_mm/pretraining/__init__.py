"""How the tiny VLM learns to see, to read and to keep to a form, but none of the tasks."""
