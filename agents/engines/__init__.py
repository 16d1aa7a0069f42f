"""Engines write answers: `make_engine(name, policy)` gives the one of that name.

hf      the training model itself, its cache alive across turns
vllm    vLLM in this process, or `vllm serve` servers, with live weight updates
openai  any OpenAI-compatible endpoint: for evaluation and demonstrations, not for training

One of your own is MODULE:NAME, called with the policy and the options (contract: agents/engines/base.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from agents.engines.base import Engine, Request, Sample, Sampling, written
from agents.plugins import make

PARTS = ("together", "ask", "answers", "release", "refresh", "rest")
"""Of an engine."""


def make_engine(name: str, policy: Any, **options: Any) -> Engine:
    made = make("engine", name, ENGINES, {"policy": policy} | options)
    if lacking := [part for part in PARTS if not hasattr(made, part)]:
        raise ValueError(
            f"engine {name}: {type(made).__name__} has no {', '.join(lacking)}; agents/engines/base.py "
            "says what an engine has"
        )
    return cast(Engine, made)


# Engines are imported when asked for: vLLM and HTTP are not everybody's.


def _hf(policy: Any, **options: Any) -> Engine:
    from agents.engines.hf import HFEngine
    from agents.self_check import check_answers

    engine = HFEngine(policy, **options)
    if policy.sharded is None:
        check_answers(policy, engine)
    return engine


def _vllm(policy: Any, **options: Any) -> Engine:
    from agents.engines.vllm import make_vllm_engine

    return make_vllm_engine(policy, **options)


def _openai(policy: Any, **options: Any) -> Engine:
    from agents.engines.openai import OpenAIEngine

    return OpenAIEngine(**options)


ENGINES: dict[str, Callable[..., Engine]] = {"hf": _hf, "vllm": _vllm, "openai": _openai}

__all__ = ["ENGINES", "Engine", "Request", "Sample", "Sampling", "make_engine", "written"]
