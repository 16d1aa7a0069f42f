"""`python -m amft_mm.pretrain` remakes the tiny VLM from nothing.

Random weights, then exercises in seeing, reading and keeping to a form (amft_mm/pretraining), drawn
anew at every step by (seed, step): same settings, same weights. What it can do is measured at the end
and written into its model card.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import hydra
import numpy as np
import torch
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


@hydra.main(version_base="1.3", config_path="pkg://configs", config_name="pretrain")
def main(config: DictConfig) -> None:
    torch.set_num_threads(config.threads)
    folder = Path(config.out)
    if (folder / "README.md").exists() and not config.overwrite:
        raise SystemExit(f"{folder} holds a finished model: choose another out=, or overwrite=true")
    folder.mkdir(parents=True, exist_ok=True)
    policy = untrained(folder, config.seed)
    with open(folder / "pretraining.jsonl", "w", encoding="utf-8") as log:
        for row in teach(policy, config):
            print(json.dumps(row), file=log, flush=True)
            print("  ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)
            if row["step"] % config.save_every == 0:
                policy.save(folder)
    finish(policy, folder, config)


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


def untrained(folder: Path, seed: int) -> Policy:
    build_tiny_vlm(folder, seed)
    return Policy.load(str(folder.resolve()), device="cpu")


def teach(policy: Policy, config: DictConfig) -> Iterator[dict[str, float]]:
    """Trains in place; yields what a step came to, every `log_every` steps."""
    parameters = [p for p in policy.model.parameters() if p.requires_grad]
    decayed = [p for p in parameters if p.ndim > 1]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98))
    started = time.monotonic()
    tokens, losses = 0, []
    for step in range(1, config.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = config.lr * rate(step, config.steps, config.warmup)
        rng = np.random.default_rng([config.seed, step])
        if step <= config.first_steps:
            exercises = [
                *draw(rng, FIRST_SIGHT, config.batch.first),
                *draw(rng, SHORT_TEXT, config.batch.first_text),
            ]
        else:
            exercises = [
                *draw(rng, SHORT_SIGHT, config.batch.sight),
                *draw(rng, SHORT_TEXT, config.batch.text),
                *draw(rng, FORMS, config.batch.forms if step > config.forms_from else 0),
            ]
        loss, taught = train_step(policy, optimizer, exercises, config.clip)
        losses.append(loss)
        tokens += taught
        if step % config.log_every == 0 or step == config.steps:
            seconds = time.monotonic() - started
            row = {"step": step, "loss": float(np.mean(losses)), "tokens": tokens, "time": seconds}
            yield row | quick_exam(policy, config.exam)
            losses = []


def rate(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up, then a cosine down to a fiftieth."""
    if step < warmup:
        return step / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))


def train_step(
    policy: Policy, optimizer: torch.optim.Optimizer, exercises: list[Exercise], clip: float
) -> tuple[float, int]:
    """One update by the mean over all answer tokens; returns the loss and the tokens read."""
    policy.model.train()
    conversations = [as_conversation(policy, exercise) for exercise in exercises]
    targets = sum(int(c.chosen().sum()) for c in conversations)
    total = 0.0
    for part in by_length(conversations, tokens=4096):
        loss = -policy.score(part).log_probs.sum() / targets
        loss.backward()
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(policy.model.parameters(), clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total, sum(len(c.ids) for c in conversations)


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
            for part in by_length(conversations, tokens=4096):
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
