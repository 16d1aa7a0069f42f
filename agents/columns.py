"""Files of episodes as they lie on disk: which columns there are, for who reads them without a model.

Demonstrations (agents/demonstrations.py) have `COLUMNS`; what a run keeps to be looked at
(amft_mm/runs/episodes.py) has those of `MORE` as well.
"""

COLUMNS = {
    "name": "unique name of the demonstration",
    "world": "id of the environment (empty for imported chats)",
    "options": "JSON: the keyword arguments the environment was made with",
    "seed": "of the environment's reset",
    "messages": "what the environment (or user) said, turn by turn",
    "pictures": "the pictures, as PNG",
    "picture_of": "for each message the number of its picture in `pictures`, -1 for none",
    "answers": "what the expert answered, one for each message",
    "slips": "numbers of the answers that are mistakes, made to be mended: shown, not imitated",
    "rewards": "the reward of each answer",
    "verdicts": "the environment's verdict on each answer",
    "success": "whether the episode succeeded",
    "stop": "why it ended",
    "corrupted": "how it was corrupted on purpose; empty if it was not",
}

MORE = {
    "step": "of the run",
    "phase": "rollout or evaluation",
    "label": "the environment of rollouts, the split of evaluations",
    "task": "number of the task instance among those played together",
    "member": "of its group",
    "feedback": "what the environment said to each answer",
    "facts": "JSON: what the environment knew before each answer",
    "experts": "what an expert would have answered; empty where nobody knows",
    "tokens": "JSON: each answer's tokens, see `answer_tokens`",
    "prompts": "JSON: what the model was newly shown for each answer, see `prompts_of`",
    "seconds": "from when each answer was asked for until it was there",
}

LARGEST_PICTURE = 50_000_000
"""Pixels; a file that claims more is not opened."""
