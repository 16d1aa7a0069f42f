"""Players: what turns observations into tokens and tokens into actions.

A model is a `Policy` (`agents.policy`), an episode is a conversation as token ids (`agents.conversation`), an
engine writes its answers (`agents.engines`), and `play` (`agents.rollout`) plays many of them at once.
"""
