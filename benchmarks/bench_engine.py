"""How fast episodes are played: `python benchmarks/bench_engine.py [--trl] [--model tiny]`.

On V-IRL with G = 8 episodes of each task instance, the same model and sampling settings, one thread:

    hf        the project's engine: cache alive across turns, beginnings and pictures shared
    generate  transformers' model.generate over the full history at each turn
    trl       TRL's multi-turn GRPO rollout with its transformers backend (--trl; needs trl 1.16)

The three take turns within one run; printed are medians and ratios. All play the same number of
turns: an answer that is wrong leads on, so episodes are as long as their routes.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from words import started

from agents.conversation import Conversation, Limits
from agents.engines.base import Request, Sample, Written
from agents.engines.hf import HFEngine
from agents.policy import Policy
from agents.rollout import Plan, play
from agents.worlds import World, Worlds

TURNS = 8


def world(modality: str) -> World:
    return World(
        "amft/VIRL-v0",
        {"modality": modality, "size": (168, 168), "attempts": 1, "out_of_attempts": "move_on"},
    )


class GenerateEngine:
    """transformers' generate on everything said so far, at every turn."""

    together = True

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._asked: list[Request] = []
        special = policy.chat_format.special_ids - {policy.chat_format.stop_id}
        self._banned = [[i] for i in sorted(special)]

    def ask(self, request: Request) -> None:
        self._asked.append(request)

    def answers(self) -> Written:
        requests, self._asked = self._asked, []
        return list(zip(requests, self._samples(requests), strict=True))

    def _samples(self, requests: list[Request]) -> list[Sample]:
        policy, first = self._policy, requests[0]
        conversations = [request.conversation for request in requests]
        longest = max(len(c.ids) for c in conversations)
        ids = torch.full((len(conversations), longest), policy.pad_id)
        mask = torch.zeros_like(ids)
        for row, conversation in enumerate(conversations):
            ids[row, longest - len(conversation.ids) :] = torch.tensor(conversation.ids)
            mask[row, longest - len(conversation.ids) :] = 1
        given: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
        images = [image for c in conversations for image in c.images]
        if images and policy.pictures:
            pixels, grids = policy.pictures.pixels(images)
            types = (ids == policy.chat_format.image_id).int()
            given |= {"pixel_values": pixels, "image_grid_thw": grids, "mm_token_type_ids": types}
        policy.plain_model.model.rope_deltas = None
        policy.model.eval()
        with torch.inference_mode():
            out = policy.model.generate(
                **given,
                max_new_tokens=first.max_new_tokens,
                do_sample=True,
                temperature=first.sampling.temperature,
                top_p=1.0,
                top_k=0,
                bad_words_ids=self._banned,
                eos_token_id=policy.chat_format.stop_id,
            )[:, longest:].tolist()
        stop = policy.chat_format.stop_id
        answers = [a[: a.index(stop) + 1] if stop in a else a for a in out]
        return [Sample(a, [0.0] * len(a), [0.0] * len(a)) for a in answers]

    def release(self, conversation: Conversation) -> None: ...

    def refresh(self) -> None: ...

    def rest(self) -> None: ...


def played(
    engine: Any, policy: Policy, worlds: Worlds, tasks: int, step: int, turns: int = TURNS
) -> tuple[float, int]:
    """Seconds, and tokens written."""
    limits = Limits(max_tokens=4000, max_new_tokens=64, max_turns=turns)
    plan = Plan(seed=1, step=step, tasks=tasks, group=8, limits=limits)
    begun = time.perf_counter()
    trajectories = play(worlds, policy, engine, plan)
    seconds = time.perf_counter() - begun
    assert not any(t.failed for t in trajectories)
    return seconds, sum(int(t.conversation.chosen().sum()) for t in trajectories)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--modality", default="visual", choices=["visual", "text"])
    parser.add_argument("--tasks", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--trl", action="store_true")
    parser.add_argument("--growth", type=int, default=0, help="rollouts to watch the memory over")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    policy = Policy.load(chosen.model, device="cpu")
    worlds = Worlds(world(chosen.modality), slots=chosen.tasks * 8)
    ways: dict[str, Any] = {"hf": HFEngine(policy), "generate": GenerateEngine(policy)}
    players = {
        name: lambda step, engine=engine: played(engine, policy, worlds, chosen.tasks, step)
        for name, engine in ways.items()
    }
    if chosen.trl:
        from trl_rollout import trl_player

        players["trl"] = trl_player(chosen.model, world(chosen.modality), chosen.tasks, TURNS)
    found: dict[str, list[float]] = {name: [] for name in players}
    for step in range(chosen.repeat + 1):
        for name, player in players.items():
            if isinstance(ways.get(name), HFEngine):
                ways[name].refresh()  # as after an update: no pictures remembered
            seconds, tokens = player(step)
            if step:  # the first is to warm up
                found[name].append(seconds)
            print(f"{name:9s} {seconds:7.2f} s  {8 * chosen.tasks / seconds:6.2f} episodes/s  "
                  f"{tokens / seconds:7.0f} tokens/s", flush=True)  # fmt: skip
    middle = {name: statistics.median(seconds) for name, seconds in found.items()}
    for name, seconds in middle.items():
        ratios = [other / mine for other, mine in zip(found[name], found["hf"], strict=True)]
        print(f"{name:9s} median {seconds:6.2f} s, hf is {statistics.median(ratios):5.2f} times as fast "
              f"({min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip
    if chosen.growth:
        watch_growth(ways["hf"], policy, worlds, chosen.growth)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    worlds.close()


def watch_growth(engine: HFEngine, policy: Policy, worlds: Worlds, rollouts: int) -> None:
    """Resident memory over many rollouts, each after a refresh as in training."""
    for step in range(rollouts):
        engine.refresh()
        played(engine, policy, worlds, 1, 1000 + step, turns=3)
        if step % max(1, rollouts // 10) == 0 or step == rollouts - 1:
            print(f"after {step + 1:4d} rollouts: {resident():6.0f} MiB", flush=True)


def resident() -> float:
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    started(main)
