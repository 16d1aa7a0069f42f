"""`python -m amft_mm.pretrain` remakes the tiny VLM from nothing.

In stages (amft_mm/pretraining): the vision tower learns to see by itself, the language model to copy,
then to read and reckon, and both together to say what is seen and to keep to the worlds' forms. With
`start=MODEL` the last two stages go on from a model's weights instead.
What a step learns from is a function of (seed, stage, step): same settings, same weights, and under
`torchrun --nproc_per_node 2 -m amft_mm.pretrain` the processes share a step's examples. An interrupted
run goes on from its last checkpoint. What the model can do is measured at the end and written into its
card.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before what is slow to import
    from amft_mm import commands

    sys.exit(commands.main(["pretrain", *sys.argv[1:]]))

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from agents.files import reason_of, whole_file, write_text
from agents.policy import Policy
from agents.tiny_vlm import build_tiny_vlm
from amft_mm.pretraining.card import model_card
from amft_mm.pretraining.checks import check_settings, chosen_stages, load_start, stages_of
from amft_mm.pretraining.exam import examine
from amft_mm.pretraining.history import history, settings_of, write_history
from amft_mm.pretraining.optimizer import Optimizer, plateau
from amft_mm.pretraining.stages import STAGES, WHOLE, Stage
from amft_mm.runs.processes import ProcessGroup


def pretrain(config: DictConfig) -> None:
    folder = Path(config.out)
    try:
        check_settings(config)
        if (folder / "README.md").exists():
            raise ValueError(f"{folder} holds a finished model: choose another folder by out=")
        torch.set_num_threads(config.threads)
        if config.start is None:  # first: else rank 0 alone saves
            policy = untrained(folder, config.seed)
        else:
            policy = load_start(config.start)
    except (ValueError, OSError) as error:
        raise SystemExit(f"pretrain: {error}") from None
    processes = ProcessGroup()
    for name in chosen_stages(config):
        for row in teach(policy, name, config, folder, processes):
            if processes.main:
                print(name, "  ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)
    if config.only is None and processes.main:
        finish(policy, folder, config)
        for name in stages_of(config):
            checkpoint(folder, name).unlink()


def untrained(folder: Path, seed: int) -> Policy:
    """Random weights: the same for every process, and for stages that run at the same time."""
    start = folder / f"start-{os.getpid()}"
    build_tiny_vlm(start, seed)
    policy = Policy.load(str(start.resolve()), device="cpu")
    shutil.rmtree(start)
    return policy


def finish(policy: Policy, folder: Path, config: DictConfig) -> None:
    """Rounds the weights to what is stored, saves them, measures them, writes the card (last)."""
    store(policy, folder)
    policy = Policy.load(str(folder.resolve()), device="cpu")
    found = examine(policy, config.exam_at_the_end)
    (folder / "exam.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    made = history(config)
    write_history(folder, made)
    parameters = sum(p.numel() for p in policy.model.parameters())
    card = model_card(parameters, made, found, config.exam_at_the_end)
    write_text(folder / "README.md", card)
    print(card)


def store(policy: Policy, folder: Path) -> None:
    """bfloat16 in the file, float32 in the configuration: loaded, the weights are the same float32
    numbers everywhere, and no CPU computes in bfloat16 by accident."""
    policy.model.to(torch.bfloat16)
    policy.dtype, computed = torch.bfloat16, policy.dtype
    policy.save(folder)
    policy.dtype = computed
    policy.model.to(torch.float32)
    path = folder / "config.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace('"bfloat16"', '"float32"'), encoding="utf-8"
    )


def teach(
    policy: Policy, name: str, config: DictConfig, folder: Path, processes: ProcessGroup
) -> Iterator[dict[str, float]]:
    """One stage, in place, from its checkpoint if there is one, else from the stages before it;
    yields what the steps came to, every `log_every` of them."""
    stage: Stage = STAGES[name](policy)
    settings = config[name]
    parameters = list(stage.module.parameters())
    optimizer = Optimizer(stage.module, config.weight_decay, settings.muon)
    done, tokens, before = begin(stage, name, optimizer, config, folder)
    started, losses = time.monotonic(), []
    for step in range(done + 1, settings.steps + 1):
        lesson = stage.lesson(settings.batch, [config.seed, stage.number, step])
        loss, read = stage.learn(processes.mine(lesson), processes)
        processes.share_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, config.clip)
        optimizer.step(settings.lr * plateau(step, settings.steps, config.warmup, settings.fall))
        losses.append(loss)
        tokens += read
        if step % config.log_every == 0 or step == settings.steps:
            seconds = before + time.monotonic() - started
            loss = sum(losses) / len(losses)
            row = {"step": step, "loss": loss, "tokens": tokens, "time": seconds}
            if processes.main:
                row |= stage.exam(config.exam)
                state = {
                    "model": stage.module.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "done": (step, tokens, seconds),
                    "settings": settings_of(config, name),
                }
                save_checkpoint(checkpoint(folder, name), state)
            processes.wait()  # the next stage begins from what was saved
            yield row
            losses = []


def begin(
    stage: Stage,
    name: str,
    optimizer: Optimizer,
    config: DictConfig,
    folder: Path,
) -> tuple[int, int, float]:
    """Puts in what was learnt before; steps, tokens and seconds of this stage that are behind."""
    own = checkpoint(folder, name)
    if own.exists():
        state = read_checkpoint(own)
        put_in(stage.module, state, own)
        step, tokens, seconds = state["done"]
        refuse_others(state["settings"], settings_of(config, name), step, own)
        optimizer.load_state_dict(state["optimizer"])
        return step, tokens, seconds
    for earlier, part in stage.after.items():
        if config.start is not None and earlier not in WHOLE:
            continue  # what it came to is in the weights that were given
        path = checkpoint(folder, earlier)
        state = read_checkpoint(path) if path.exists() else {"done": (0,)}
        if state["done"][0] < config[earlier].steps:
            raise SystemExit(f"{name} comes after {earlier}, which has not finished in {folder}")
        put_in(part, state, path)
    return 0, 0, 0.0


def refuse_others(before: dict[str, Any], now: dict[str, Any], done: int, path: Path) -> None:
    """What is told of the weights has to be true of every step. A stage may be made longer or shorter as
    long as its learning rate has not begun to fall, and not shorter than it is already."""
    if done > now["steps"]:
        raise SystemExit(
            f"{path} has made {done} steps, and {now['steps']} are asked for: ask for as many or "
            "more, or choose another folder by out="
        )
    rates = [
        [plateau(step, own["steps"], own["warmup"], own["fall"]) for step in range(1, done + 1)]
        for own in (before, now)
    ]
    shape = {"steps", "fall"} if rates[0] == rates[1] else set()
    changed = [key for key in now if key not in shape and now[key] != before[key]]
    if changed:
        told = ", ".join(f"{key} {before[key]}, not {now[key]}" for key in changed)
        raise SystemExit(
            f"{path} was begun with other settings ({told}): take those, or choose another folder by out="
        )


def read_checkpoint(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception as error:  # of zip archives, of pickles, of what is in them: each its own kind
        raise SystemExit(
            f"{path} cannot be read ({reason_of(error)}): delete it, and its stage begins anew"
        ) from None
    return state


def put_in(module: torch.nn.Module, state: dict[str, Any], path: Path) -> None:
    try:
        module.load_state_dict(state["model"])
    except RuntimeError as error:
        raise SystemExit(
            f"{path} is of a model that is built otherwise: go on with the version that began it, or choose "
            f"another folder by out= ({str(error).splitlines()[-1].strip():.200})"
        ) from None


def checkpoint(folder: Path, name: str) -> Path:
    return folder / f"{name}.checkpoint.pt"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as unfinished:
        torch.save(state, unfinished)
