"""Where vLLM writes: `python benchmarks/bench_serving.py [--model tiny]`, in an environment that has vLLM.

The same episodes, of streets in words and of cards in a picture, are answered by

    colocated  vLLM in the trainer's process (engine.where=colocated)
    served     a vLLM server with equal settings on the same machine (engine.where=servers)

Both take turns within one run, and each is given new weights before it plays, as in training: colocated wakes
and takes them in memory, served reads them from a folder. Printed are medians and ratios: of playing, its
seconds, tokens a second and seconds of processors (of the trainer's process and of those of the server that
it asks), and apart from it the seconds of new weights. Where both sample the same, ratios compare the same
work; the share of such episodes is told. On a GPU both are on one card, each with `--memory` of it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import httpx
import psutil
import torch
from words import started

from agents.conversation import Limits
from agents.engines import Engine, make_engine
from agents.engines.vllm_local import llm_options, merged_copy
from agents.policy import Policy
from agents.rollout import Plan, play
from agents.worlds import World, Worlds

GROUP = 8
LIMITS = Limits(max_tokens=2048, max_new_tokens=64, max_turns=4)
WORLDS = {
    "streets in words": World(
        "amft/VIRL-v0", {"modality": "text", "attempts": 1, "out_of_attempts": "move_on"}
    ),
    "cards in a picture": World(
        "amft/GeneralPoints-v0", {"thought": "steps", "size": (112, 112), "attempts": 1}
    ),
}


class Round(NamedTuple):
    """Seconds and tokens, and the ids of each episode."""

    weights: float
    playing: float
    processors: float
    tokens: int
    ids: list[list[int]]

    def __str__(self) -> str:
        return (
            f"{self.playing:7.2f} s, {self.tokens:6.0f} tokens, {self.tokens / self.playing:6.0f} tokens/s, "
            f"{self.processors:7.2f} s of processors, new weights {self.weights:6.3f} s"
        )


def played(engine: Engine, policy: Policy, worlds: Worlds, plan: Plan, *, served: bool) -> Round:
    began = time.perf_counter()
    engine.rest()
    engine.refresh()
    handed, used = time.perf_counter(), processor_seconds(served)
    trajectories = play(worlds, policy, engine, plan)
    ended, used = time.perf_counter(), processor_seconds(served) - used
    assert not any(t.failed for t in trajectories), [t.error for t in trajectories]
    conversations = [t.conversation for t in trajectories]
    tokens = sum(int(c.chosen().sum()) for c in conversations)
    return Round(handed - began, ended - handed, used, tokens, [c.ids for c in conversations])


def processor_seconds(served: bool) -> float:
    """Of this process; `served`: of the server's too, which idles else."""
    me = psutil.Process()
    processes = [me, *(me.children(recursive=True) if served else ())]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


@contextlib.contextmanager
def server(policy: Policy, options: dict[str, Any]) -> Iterator[str]:
    """The address of a server of this policy; `options` are those of vLLM's engine."""
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as place:
        folder, log = Path(place, "model"), Path(place, "log")
        merged_copy(policy, folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        module = "vllm.entrypoints.openai.api_server"
        command = [sys.executable, "-m", module, "--model", str(folder), "--enable-scale-out"]
        command += ["--host", "127.0.0.1", "--port", port, *words_of(options)]
        environment = {
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # as the other one is
            "VLLM_NO_USAGE_STATS": "1",
            **os.environ,
            "VLLM_ENABLE_V1_MULTIPROCESSING": "1",
            "VLLM_SERVER_DEV_MODE": "1",
        }
        with open(log, "wb") as out:
            process = subprocess.Popen(
                command, env=environment, stdout=out, stderr=out, start_new_session=True
            )
        try:
            wait_for(f"http://127.0.0.1:{port}", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its workers too
            process.wait()


def words_of(options: dict[str, Any]) -> list[str]:
    words = []
    for name, value in options.items():
        word = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(word)
        elif value is not False and value != {}:
            words += [word, json.dumps(value) if isinstance(value, dict) else str(value)]
    return words


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    while process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/health").status_code == 200:
                return
        time.sleep(1)
    raise SystemExit(f"the server did not come up: {log.read_text(errors='replace')[-3000:]}")


def tell(title: str, rounds: dict[str, list[Round]]) -> None:
    pairs = list(zip(rounds["colocated"], rounds["served"], strict=True))
    same = [mine == theirs for a, b in pairs for mine, theirs in zip(a.ids, b.ids, strict=True)]
    print(f"{title}: {sum(same) / len(same):.0%} of {len(same)} episodes are the same by both")
    ratios = {
        "seconds of playing a token": [
            b.playing / b.tokens / (a.playing / a.tokens) for a, b in pairs
        ],
        "seconds of processors a token": [
            b.processors / b.tokens / (a.processors / a.tokens) for a, b in pairs
        ],
        "seconds of new weights": [b.weights / a.weights for a, b in pairs],
    }
    for way, mine in rounds.items():
        middle = [statistics.median(column) for column in list(zip(*mine, strict=True))[:4]]
        print(f"{way:9s} median {Round(*middle, ids=[])}")
    for what, found in ratios.items():
        print(
            f"served takes {statistics.median(found):5.2f} times the {what} "
            f"({min(found):.2f} to {max(found):.2f})",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--tasks", type=int, default=4, help=f"a round, {GROUP} episodes of each")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--memory", type=float, default=0.3, help="of a GPU, for each of both")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # and the server with it
    torch.set_num_threads(1)
    policy = Policy.load(chosen.model)
    room: dict[str, Any] = {
        "memory": chosen.memory,
        "max_model_len": LIMITS.max_tokens,
        "max_images": LIMITS.max_turns,
    }
    options = llm_options(policy, sleep=False, **room)
    del options["worker_extension_cls"]  # a server reads weights from a folder
    with server(policy, options) as url, tempfile.TemporaryDirectory() as weights:
        ways = {
            "colocated": make_engine("vllm", policy, where="colocated", **room),
            "served": make_engine(
                "vllm", policy, where="servers", servers=[url], weights_folder=weights
            ),
        }
        for title, world in WORLDS.items():
            worlds = Worlds(world, slots=chosen.tasks * GROUP, seconds=None)
            rounds: dict[str, list[Round]] = {way: [] for way in ways}
            for step in range(chosen.repeat + 1):
                plan = Plan(seed=1, step=step, tasks=chosen.tasks, group=GROUP, limits=LIMITS)
                for way, engine in ways.items():
                    done = played(engine, policy, worlds, plan, served=way == "served")
                    if step:  # the first is to warm up
                        rounds[way].append(done)
                    print(f"{way:9s} {done}", flush=True)
            worlds.close()
            tell(title, rounds)


if __name__ == "__main__":
    started(main)
