"""`python -m amft_mm.train env=virl|general_points|math`

Imitates the environment's expert with a small recurrent byte model on text observations, then
plays unseen instances and counts successes. It is the thin thread through worlds, configuration
and run folders that the AMFT learner replaces: no pictures, no exploration, no mixing yet.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import gymnasium
import hydra
import torch
from omegaconf import DictConfig, OmegaConf
from rich.progress import Progress

from amft_mm.byte_model import ByteModel
from amft_mm.run_folder import RunFolder, default_path


def make_env(config: DictConfig, **changes: Any) -> gymnasium.Env[Any, Any]:
    """The environment of `config.env`: every key but `name` and `id` is a constructor argument."""
    arguments: dict[str, Any] = OmegaConf.to_container(config.env, resolve=True)  # type: ignore[assignment]
    del arguments["name"]
    return gymnasium.make(arguments.pop("id"), **(arguments | changes))


def demonstrate(env: gymnasium.Env[Any, Any], seeds: range) -> list[tuple[str, str]]:
    """(what was told so far, what the expert wrote) for each turn of an episode a seed."""
    pairs = []
    for seed in seeds:
        observation, info = env.reset(seed=seed)
        told = observation["text"]
        while not info["ended_by"]:
            answer = env.unwrapped.expert()  # type: ignore[attr-defined]
            pairs.append((told, answer))
            observation, _, _, _, info = env.step(answer)
            told += f"\n{answer}\n{observation['text']}\n"
    return pairs


def success_rate(env: gymnasium.Env[Any, Any], model: ByteModel, seeds: range) -> float:
    wins = 0
    for seed in seeds:
        observation, info = env.reset(seed=seed)
        told = observation["text"]
        while not info["ended_by"]:
            answer = model.write(told)
            observation, _, _, _, info = env.step(answer)
            told += f"\n{answer}\n{observation['text']}\n"
        wins += info["success"]
    return wins / len(seeds)


def train(config: DictConfig) -> dict[str, Any]:
    """Trains, evaluates, and returns what summary.json holds."""
    if config.env.get("modality") == "visual":
        raise ValueError(
            "env.modality=visual: the byte model reads text only; use env.modality=text."
        )
    torch.manual_seed(config.seed)
    torch.set_num_threads(1)  # a model this small only loses time to more
    path = (
        Path(config.out) if config.out else default_path(config.env.name, "imitation", config.seed)
    )
    run = RunFolder(path, config)
    env = make_env(config)
    pairs = demonstrate(env, range(config.train.episodes))
    model = ByteModel(config.train.width, config.train.context)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.train.learning_rate)
    choose = random.Random(config.seed)
    print(f"{len(pairs)} expert answers from {config.train.episodes} episodes; writing to {path}")
    with Progress(disable=not sys.stdout.isatty()) as progress:
        for step in progress.track(range(1, config.train.steps + 1), description="imitating"):
            told, written = zip(
                *choose.sample(pairs, min(config.train.batch_size, len(pairs))), strict=True
            )
            loss = model.imitation_loss(list(told), list(written))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            run.log({"step": step, "loss/imitation": loss.item()})
            if step % 50 == 0:
                progress.console.print(f"step {step}: loss/imitation {loss.item():.3f}")
    unseen = make_env(config, split="id")
    summary = {
        "split": "id",
        "episodes": config.eval.episodes,
        "eval/id/success": success_rate(unseen, model, range(config.eval.episodes)),
        "loss/imitation": loss.item(),
    }
    run.summarise(summary)
    print(f"success on {config.eval.episodes} unseen instances: {summary['eval/id/success']:.0%}")
    return summary


@hydra.main(version_base="1.3", config_path="pkg://configs", config_name="train")
def main(config: DictConfig) -> None:
    train(config)


if __name__ == "__main__":
    main()
