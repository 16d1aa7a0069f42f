"""Episodes that a run keeps to be looked at: `episodes/` in its folder, one file a step or evaluation.

    recorder = Recorder(folder, policy)
    recorder.keep("rollout", step, "virl", trajectories, world)

A file holds the columns of demonstrations, so that it opens and trains as they do, and more
(agents/columns.py). An expert's answers are had by playing the episode once more, beside the agent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from agents.chat_format import ChatFormat
from agents.conversation import ChatModel, Conversation
from agents.demonstrations import columns_of, features, recorded, write_rows
from agents.files import reason_of
from agents.policy import Policy
from agents.trajectory import Trajectory
from agents.worlds import World
from envs.answers import whole_characters
from envs.guard import CallFailed, GuardedEnv, failure_of

ALTERNATIVES = 3
SECONDS = 10.0
"""A call of the environment that takes longer costs the experts' answers."""


class Recorder:
    def __init__(self, folder: Path, policy: ChatModel) -> None:
        """Of an endpoint's model, which is not at hand, nothing is told of tokens."""
        self.folder, self._policy = folder, policy

    def keep(
        self,
        phase: str,
        step: int,
        label: str,
        trajectories: Sequence[Trajectory],
        world: World,
        advantages: Sequence[Any] | None = None,
    ) -> None:
        """`advantages`: for each episode one number an answer, where that is known."""
        credit = advantages or [None] * len(trajectories)
        rows = [
            self._row(trajectory, world, worth)
            | {"step": step, "phase": phase, "label": label}
            | {"task": trajectory.task, "member": trajectory.member}
            for trajectory, worth in zip(trajectories, credit, strict=True)
            if not trajectory.failed and trajectory.conversation.answers
        ]
        if not rows:
            return
        path = self.folder / f"{step:06d}-{phase}-{label.replace('/', '-')}.parquet"
        try:
            write_rows(path, rows, features() | more_features())
        except OSError as error:
            raise RuntimeError(
                f"{path} could not be written ({reason_of(error)}): free some space, or keep no "
                "episodes by what is set under record"
            ) from error

    def _row(self, trajectory: Trajectory, world: World, advantages: Any) -> dict[str, Any]:
        row = recorded(trajectory, world)
        turns = trajectory.turns[: len(row.answers)]
        tokens = prompts = ["{}"] * len(row.answers)
        if isinstance(self._policy, Policy):
            prompts = prompts_of(self._policy.chat_format, trajectory.conversation)
            tokens = answer_tokens(self._policy, trajectory.conversation, advantages)
        return columns_of(row) | {
            "feedback": [turn.feedback for turn in turns],
            "facts": [json.dumps(turn.facts) for turn in turns],
            "experts": experts_of(world, row.seed, row.answers),
            "tokens": tokens,
            "prompts": prompts,
            "seconds": [round(turn.seconds, 3) for turn in turns],
        }


def more_features() -> dict[str, Any]:
    from datasets import List, Value

    text, number = Value("string"), Value("int64")
    return {
        "step": number,
        "phase": text,
        "label": text,
        "task": number,
        "member": number,
        "feedback": List(text),
        "facts": List(text),
        "experts": List(text),
        "tokens": List(text),
        "prompts": List(text),
        "seconds": List(Value("float64")),
    }


def experts_of(world: World, seed: int, answers: Sequence[str]) -> list[str]:
    """What the world's expert would have said instead of each answer; nothing where the world, which could
    be built before, can not be built now."""
    said = [""] * len(answers)
    try:
        env = GuardedEnv(world.make, seconds=SECONDS)
    except Exception:
        return said
    with closing(env):
        _, info = env.reset(seed=seed)
        for turn, answer in enumerate(answers):
            if failure_of(info):
                break
            try:
                said[turn] = whole_characters(str(env.ask("expert")))
            except (NotImplementedError, CallFailed):
                break
            _, _, terminated, truncated, info = env.step(answer)
            if terminated or truncated:
                break
    return said


@torch.no_grad()
def answer_tokens(policy: Policy, conversation: Conversation, advantages: Any) -> list[str]:
    """For each answer: its tokens' ids, words, log-probabilities, entropies and likeliest alternatives with
    their probabilities, how many were given, and its advantage. Nothing is told of what is not learnt."""
    alternatives: list[torch.return_types.topk] = []

    def measure(log_probs: torch.Tensor, where: slice) -> torch.Tensor:
        alternatives.append(log_probs.topk(min(ALTERNATIVES, log_probs.shape[-1])))
        return log_probs[:, 0]

    policy.model.eval()
    scores = policy.score([conversation], measure)
    log_probs, entropies = scores.log_probs.tolist(), scores.entropies.tolist()
    values = torch.cat([part.values for part in alternatives]).exp().tolist()
    others = torch.cat([part.indices for part in alternatives]).tolist()
    turns, place = [], 0
    for number, answer in enumerate(conversation.answers):
        if not answer.learnt:
            turns.append("{}")
            continue
        here = slice(place, place + answer.stop - answer.first_learnt)
        place = here.stop
        ids = conversation.said(number)[answer.unlearnt :]
        found = {
            "ids": list(map(int, ids)),
            "words": words_of(policy.chat_format, ids),
            "log_probs": _short(log_probs[here]),
            "entropies": _short(entropies[here]),
            "others": [
                [[policy.chat_format.text([i]), round(p, 3)] for i, p in zip(ids, ps, strict=True)]
                for ids, ps in zip(others[here], values[here], strict=True)
            ],
            "given": answer.given_learnt,
            "advantage": None if advantages is None else round(float(advantages[number]), 4),
        }
        turns.append(json.dumps(found))
    return turns


def prompts_of(chat_format: ChatFormat, conversation: Conversation) -> list[str]:
    """For each answer: `text`, what stands in the model's own format between it and the answer before,
    special tokens included, the places of a picture counted; and `tokens`, how many it had read by then.
    Where a new window was opened, the text is all of it."""
    found = []
    for window in conversation.windows():
        before = 0
        for answer in window.answers:
            ids = window.ids[before : answer.start]
            found.append(json.dumps({"text": _raw(chat_format, ids), "tokens": answer.start}))
            before = answer.stop
    return found


def _raw(chat_format: ChatFormat, ids: Sequence[int]) -> str:
    parts = []
    for pictured, group in groupby(ids, key=lambda i: i == chat_format.image_id):
        same = list(group)
        text = chat_format.tokenizer.decode(
            same[:1] if pictured else same,
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
        )
        parts.append(f"{text} x {len(same)}" if pictured else text)
    return "".join(parts)


def words_of(chat_format: ChatFormat, ids: Sequence[int]) -> list[str]:
    """What each id adds to the text. A character that several ids make together is the last one's."""
    words, before = [], ""
    for stop in range(1, len(ids) + 1):
        text = chat_format.text(list(ids[:stop]))
        if text.endswith("\ufffd") and stop < len(ids):
            words.append("")
            continue
        words.append(text[len(before) :])
        before = text
    return words


def _short(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]
