"""How many tokens a turn on streets costs: `python benchmarks/bench_answer_tokens.py`.

The expert plays through the tiny model's own conversation, so that the chat template and the pictures
count too. Ratios are to the form of the configuration: json, without a thought, instructions as sentences.
"""

from __future__ import annotations

import itertools

import gymnasium
import numpy as np
from words import call

import envs  # noqa: F401
from agents.conversation import Conversation, Limits
from agents.policy import Policy
from envs.shown import shown

EPISODES = 30
LIMITS = Limits(max_tokens=100_000, max_new_tokens=1000, max_turns=1000)


def tokens(policy: Policy, episodes: int, **arguments: object) -> np.ndarray:
    """Means of: the first message, an answer, a later turn (a message and an answer), an episode."""
    env = gymnasium.make("amft/VIRL-v0", size=(168, 168), **arguments).unwrapped
    first, later, answers, whole = [], [], [], []
    for seed in range(episodes):
        conversation = Conversation(policy, LIMITS)
        observation, info = env.reset(seed=seed)
        while True:
            before = len(conversation.ids)
            told = shown(observation, info)
            conversation.observe(told.text, told.images)
            (later if before else first).append(len(conversation.ids) - before)
            before = len(conversation.ids)
            said = conversation.say(env.expert())  # type: ignore[attr-defined]
            answers.append(len(conversation.ids) - before)
            observation, _, _, _, info = env.step(said)
            if info["ended_by"]:
                break
        whole.append(len(conversation.ids))
    message, answer = np.mean(later), np.mean(answers)
    return np.array([np.mean(first), answer, message + answer, np.mean(whole)])


def main(episodes: int = EPISODES) -> None:
    policy = Policy.load("tiny", device="cpu")
    for modality, mode in itertools.product(("text", "visual"), ("rail", "free")):
        base = None
        for answer, thought, way in itertools.product(
            ("json", "short"), ("none", "steps"), ("sentence", "number")
        ):
            mean = tokens(
                policy,
                episodes,
                modality=modality,
                mode=mode,
                answer=answer,
                thought=thought,
                instruction_as=way,
            )
            base = mean if base is None else base
            print(
                f"{modality:6s} {mode} {answer:5s} {thought:5s} {way:8s}  "
                + "  ".join(
                    f"{name} {tokens:5.0f} ({tokens / was:.2f})"
                    for name, tokens, was in zip(
                        ("first message", "answer", "turn", "episode"),
                        mean,
                        base,
                        strict=True,
                    )
                )
            )


if __name__ == "__main__":
    call(main)
