"""Players: what turns observations into tokens and tokens into actions.

So far there is only the body of the tiny VLM (`agents.tiny_vlm`), untrained.
"""
