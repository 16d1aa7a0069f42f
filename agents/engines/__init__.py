"""Engines write answers: `make_engine(name, policy)` gives the one of that name.

hf      the training model itself, its cache alive across turns
vllm    vLLM in this process, or `vllm serve` servers, with live weight updates
openai  any OpenAI-compatible endpoint: for evaluation and demonstrations, not for training

One of your own is MODULE:NAME, called with the policy and the options (contract: agents/engines/base.py).
"""

from __future__ import annotations

from typing import Any, cast

from agents.engines.base import Engine, Request, Sample, Sampling
from agents.plugins import make
from envs.contract import one_of

ENGINES = ("hf", "vllm", "openai")


def make_engine(name: str, policy: Any, **options: Any) -> Engine:
    """Engines are imported when asked for: vLLM and HTTP are not everybody's."""
    if ":" in name:
        return cast(Engine, make("engine", name, {}, {"policy": policy} | options))
    if one_of("engine", name, ENGINES) == "hf":
        from agents.engines.hf import HFEngine

        return HFEngine(policy, **options)
    if name == "vllm":
        from agents.engines.vllm import make_vllm_engine

        return make_vllm_engine(policy, **options)
    from agents.engines.openai import OpenAIEngine

    return OpenAIEngine(**options)


__all__ = ["ENGINES", "Engine", "Request", "Sample", "Sampling", "make_engine"]
