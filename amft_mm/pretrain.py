"""`python -m amft_mm.pretrain` remakes the tiny VLM from nothing.

Random weights, then exercises in seeing, reading and keeping to a form (amft_mm/pretraining). Exercise
j of a step is a function of (seed, step, j): same settings, same weights, and under
`torchrun --nproc_per_node 2 -m amft_mm.pretrain` the processes share a step's exercises.
An interrupted run goes on from its last checkpoint. What the model can do is measured at the end and
written into its card.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from accelerate import PartialState
from omegaconf import DictConfig

from agents.conversation import Conversation, Limits
from agents.policy import Policy
from agents.tiny_vlm import build_tiny_vlm
from amft_mm.pretraining.card import model_card
from amft_mm.pretraining.exam import examine
from amft_mm.pretraining.exercises import (
    FIRST_SIGHT,
    FORMS,
    SHORT_SIGHT,
    SHORT_TEXT,
    Exercise,
    draw,
)

PASS_TOKENS = 1500
"""Read in one pass, padding included: small, so that what is padded together is of a length."""


@hydra.main(version_base="1.3", config_path="pkg://configs", config_name="pretrain")
def main(config: DictConfig) -> None:
    torch.set_num_threads(config.threads)
    folder = Path(config.out)
    if (folder / "README.md").exists():
        raise SystemExit(f"{folder} holds a finished model: choose another folder by out=")
    team = PartialState(cpu=True)
    if team.is_main_process:
        build_tiny_vlm(folder / "start", config.seed)
    team.wait_for_everyone()
    policy = Policy.load(str((folder / "start").resolve()), device="cpu")
    for row in teach(policy, config, folder / "checkpoint.pt", team):
        if team.is_main_process:
            print("  ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)
    if team.is_main_process:
        finish(policy, folder, config)
    team.wait_for_everyone()
    if team.is_main_process:
        shutil.rmtree(folder / "start")
        (folder / "checkpoint.pt").unlink()


def finish(policy: Policy, folder: Path, config: DictConfig) -> None:
    """Rounds the weights to what is stored, saves them, measures them, writes the card (last)."""
    store(policy, folder)
    policy = Policy.load(str(folder.resolve()), device="cpu")
    found = examine(policy, config.exam_at_the_end)
    settings = {"steps": config.steps, "seed": config.seed}
    parameters = sum(p.numel() for p in policy.model.parameters())
    (folder / "exam.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    card = model_card(parameters, settings, found, config.exam_at_the_end)
    (folder / "README.md").write_text(card, encoding="utf-8")
    print(card)


def store(policy: Policy, folder: Path) -> None:
    """bfloat16 in the file, float32 in the configuration: loaded, the weights are the same float32
    numbers everywhere, and no CPU computes in bfloat16 by accident."""
    policy.model.to(torch.bfloat16)
    policy.save(folder)
    path = folder / "config.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace('"bfloat16"', '"float32"'), encoding="utf-8"
    )
    policy.model.to(torch.float32)


def teach(
    policy: Policy, config: DictConfig, checkpoint: Path, team: PartialState
) -> Iterator[dict[str, float]]:
    """Trains in place, going on from the checkpoint if there is one; yields what the steps came to,
    every `log_every` of them."""
    parameters = list(policy.model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98))
    done, tokens, before = load_checkpoint(checkpoint, policy, optimizer)
    started, losses = time.monotonic(), []
    for step in range(done + 1, config.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = config.lr * rate(step, config.steps, config.warmup)
        mine = slice(team.process_index, None, team.num_processes)
        exercises = [draw(kinds, seed) for kinds, seed in lesson(config, step)[mine]]
        loss, read = train_step(policy, optimizer, exercises, config.clip, team)
        losses.append(loss)
        tokens += read
        if step % config.log_every == 0 or step == config.steps:
            seconds = before + time.monotonic() - started
            row = {"step": step, "loss": float(np.mean(losses)), "tokens": tokens, "time": seconds}
            if team.is_main_process:
                row |= quick_exam(policy, config.exam)
                save_checkpoint(checkpoint, policy, optimizer, (step, tokens, seconds))
            yield row
            losses = []


def lesson(config: DictConfig, step: int) -> list[tuple[Any, list[int]]]:
    """The kinds of a step's exercises and their seeds."""
    if step <= config.first_steps:
        parts = [(FIRST_SIGHT, config.batch.first), (SHORT_TEXT, config.batch.first_text)]
    else:
        forms = config.batch.forms if step > config.forms_from else 0
        parts = [
            (SHORT_SIGHT, config.batch.sight),
            (SHORT_TEXT, config.batch.text),
            (FORMS, forms),
        ]
    return [
        (kinds, [config.seed, step, part, number])
        for part, (kinds, count) in enumerate(parts)
        for number in range(count)
    ]


def save_checkpoint(
    path: Path, policy: Policy, optimizer: torch.optim.Optimizer, done: tuple[int, int, float]
) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    state = {"model": policy.model.state_dict(), "optimizer": optimizer.state_dict(), "done": done}
    torch.save(state, unfinished)
    os.replace(unfinished, path)


def load_checkpoint(
    path: Path, policy: Policy, optimizer: torch.optim.Optimizer
) -> tuple[int, int, float]:
    """Steps, tokens and seconds that are behind."""
    if not path.exists():
        return 0, 0, 0.0
    state = torch.load(path, weights_only=True)
    policy.model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    step, tokens, seconds = state["done"]
    return step, tokens, seconds


def rate(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up, then a cosine down to a fiftieth."""
    if step < warmup:
        return step / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))


def train_step(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    exercises: list[Exercise],
    clip: float,
    team: PartialState,
) -> tuple[float, int]:
    """One update by the mean over all answer tokens of all processes; the loss, the tokens read."""
    policy.model.train()
    conversations = [as_conversation(policy, exercise) for exercise in exercises]
    targets, tokens = team_sum(
        team,
        sum(int(c.chosen().sum()) for c in conversations),
        sum(len(c.ids) for c in conversations),
    )
    total = 0.0
    for part in by_length(conversations, PASS_TOKENS):
        loss = -policy.score(part).log_probs.sum() / targets
        loss.backward()
        total += loss.item()
    share_gradients(team, policy)
    torch.nn.utils.clip_grad_norm_(policy.model.parameters(), clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    (total,) = team_sum(team, total)
    return total, int(tokens)


def team_sum(team: PartialState, *numbers: float) -> list[float]:
    if team.num_processes == 1:
        return list(numbers)
    tensor = torch.tensor(numbers, dtype=torch.float64)
    torch.distributed.all_reduce(tensor)
    return tensor.tolist()


def share_gradients(team: PartialState, policy: Policy) -> None:
    """The sum over all processes, in one message."""
    if team.num_processes == 1:
        return
    parameters = list(policy.model.parameters())
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    together = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(together)
    parts = together.split([p.numel() for p in parameters])
    for parameter, gradient in zip(parameters, parts, strict=True):
        parameter.grad = gradient.view_as(parameter)


def as_conversation(policy: Policy, exercise: Exercise) -> Conversation:
    conversation = Conversation(policy, Limits(max_tokens=4096, max_new_tokens=1))
    for turn in exercise:
        if not conversation.observe(turn.text, turn.image):
            break
        conversation.say(turn.answer)
    return conversation


def by_length(conversations: list[Conversation], tokens: int) -> Iterator[list[Conversation]]:
    """Groups of similar length, each of about so many tokens with its padding."""
    group: list[Conversation] = []
    for conversation in sorted(conversations, key=lambda c: len(c.ids)):
        if group and len(conversation.ids) * (len(group) + 1) > tokens:
            yield group
            group = []
        group.append(conversation)
    if group:
        yield group


@torch.no_grad()
def quick_exam(policy: Policy, count: int) -> dict[str, float]:
    """By kind, how many answers the model would give to the letter: every token the likeliest."""
    policy.model.eval()
    found = {}
    for kinds in (FIRST_SIGHT, SHORT_SIGHT, SHORT_TEXT):
        for name, (make, _) in kinds.items():
            rng = np.random.default_rng([2**31, len(name)])
            conversations = [as_conversation(policy, make(rng)) for _ in range(count)]
            right = answers = 0
            for part in by_length(conversations, PASS_TOKENS):
                batch = policy.batch(part)
                logits = policy.plain_model.lm_head(policy.hidden_states(batch))
                agrees = (logits[:, :-1].argmax(-1) == batch.input_ids[:, 1:]).cpu().numpy()
                for row, conversation in enumerate(part):
                    for answer in conversation.answers:
                        answers += 1
                        right += bool(agrees[row, answer.start - 1 : answer.stop - 1].all())
            found[name] = right / answers
    return found


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
