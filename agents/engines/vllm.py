"""engine=vllm: vLLM in this process, or running servers, with the learner's weights after each step.

Tokens in, tokens out: a prompt is given as the conversation's ids (each picture's placeholder once,
as vLLM wants it) and must come back as exactly these ids with their placeholders; what is sampled is
taken as ids. After new weights all three of vLLM's caches are reset: prefixes, pictures as they were
processed, and pictures as they were encoded. Without that it goes on answering as the old model.

Log-probabilities are the plain model's, and are given where that is what is asked for: at temperature 1, or
greedily. Those of the sampling distribution are given where they are the same (temperature 1, no truncation).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.anatomy import ModelError
from agents.conversation import Conversation
from agents.engines.base import Request, Sample, Written
from agents.engines.vllm_backend import Backend, Completion, Prompt
from agents.engines.web import checked_url
from agents.engines.weights import refuse_other_adapters
from agents.pictures import ProcessorReader
from agents.policy import Policy
from agents.seeds import mixed_seed
from envs.contract import one_of


class VLLMEngine:
    """The engine over a backend."""

    together = False

    def __init__(self, policy: Policy, backend: Backend) -> None:
        if isinstance(policy.pictures, ProcessorReader):
            raise ModelError(
                f"engine=vllm: {type(policy.plain_model).__name__} writes more than one mark in a picture's "
                "place, and vLLM is given one for each picture. Take engine=hf"
            )
        refuse_other_adapters(policy)
        self._policy, self._backend = policy, backend
        self._rows = policy.vocabulary
        self._never = dict.fromkeys(policy.chat_format.unsaid(self._rows), -100.0)

    def ask(self, request: Request) -> None:
        self._backend.ask(request, self._prompt(request))

    def answers(self) -> Written:
        return [(request, self._sample(request, came)) for request, came in self._backend.arrived()]

    def release(self, conversation: Conversation) -> None:
        self._backend.forget(conversation)

    def refresh(self) -> None:
        self._backend.update(self._policy)

    def rest(self) -> None:
        self._backend.rest()

    def _prompt(self, request: Request) -> Prompt:
        conversation, sampling = request.conversation, request.sampling
        reader = self._policy.pictures
        images = [reader.scaled(image) for image in conversation.images] if reader else []
        settings = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "seed": mixed_seed(*request.turn_seed()),
            "max_tokens": request.max_new_tokens,
            "logprobs": 0,
            "stop_token_ids": [self._policy.chat_format.stop_id],
            "logit_bias": self._never,
            "detokenize": False,
        }
        return Prompt(collapsed(conversation), images, settings)

    def _sample(self, request: Request, completion: Completion | str) -> Sample:
        if isinstance(completion, str):
            return Sample(error=completion)
        conversation, sampling = request.conversation, request.sampling
        if completion.prompt_ids is not None and completion.prompt_ids != conversation.ids:
            return Sample(
                error=f"vLLM read {len(completion.prompt_ids)} ids where the conversation has "
                f"{len(conversation.ids)}: its picture sizes or its model differ from the policy's"
            )
        if not all(map(self._may_be, completion.ids)):
            return Sample(
                error="vLLM wrote ids that it was told never to, or that the model has not"
            )
        log_probs = completion.log_probs if sampling.learnt_at == 1.0 else []
        as_sampled = (sampling.temperature, sampling.top_p, sampling.top_k) == (1.0, 1.0, 0)
        return Sample(completion.ids, log_probs, list(log_probs) if as_sampled else [])

    def _may_be(self, number: object) -> bool:
        """Whether it is an id that may stand in an answer."""
        return isinstance(number, int) and 0 <= number < self._rows and number not in self._never


def collapsed(conversation: Conversation) -> list[int]:
    """The ids with one placeholder for each picture."""
    if not conversation.grids:
        return list(conversation.ids)
    ids, at, picture = [], 0, 0
    while at < len(conversation.ids):
        ids.append(conversation.ids[at])
        if conversation.ids[at] == conversation.image_id:
            at += conversation.grids[picture].tokens
            picture += 1
        else:
            at += 1
    return ids


WHERE = ("colocated", "servers")


def where_of(where: str | None, servers: Sequence[str]) -> str:
    """colocated, beside the learner in its process, or servers, at the addresses of running `vllm serve`s;
    None is servers where there are addresses."""
    return one_of("engine.where", where or ("servers" if servers else "colocated"), WHERE)


def addresses_of(servers: Sequence[str]) -> list[str]:
    """Those of engine.servers, each of which can be asked; a ValueError else."""
    if isinstance(servers, str):  # each of whose letters would be one
        raise ValueError(
            f"engine.servers={servers} is one address, and expected is a list: engine.servers=[{servers}]"
        )
    return [checked_url("engine.servers", url, "http://127.0.0.1:8000") for url in servers]


def make_vllm_engine(
    policy: Policy,
    *,
    where: str | None = None,
    servers: Sequence[str] = (),
    transfer: str | None = None,
    weights_folder: str | None = None,
    memory: float | None = None,
    sleep: bool = True,
    tensor_parallel: int = 1,
    **options: Any,
) -> VLLMEngine:
    """`options` are of `ServedVLLM`, or of `llm_options`."""
    if where_of(where, servers) == "servers":
        from agents.engines.vllm_server import ServedVLLM

        if not servers:
            raise ValueError(
                "engine.where=servers needs their addresses: engine.servers=[http://HOST:8000]"
            )
        if tensor_parallel > 1:
            raise ValueError(
                f"engine.tensor_parallel={tensor_parallel} divides a colocated model: servers are "
                f"started with `vllm serve MODEL --tensor-parallel-size {tensor_parallel}`"
            )
        options |= {"transfer": transfer, "weights_folder": weights_folder}
        return VLLMEngine(policy, ServedVLLM(addresses_of(servers), **options))
    from agents.engines.vllm_local import LocalVLLM

    if servers:
        raise ValueError(
            f"engine.where=colocated asks no servers, and engine.servers names {len(servers)}: "
            "leave one of them out"
        )
    for setting, value in (("transfer", transfer), ("weights_folder", weights_folder)):
        if value:
            raise ValueError(
                f"engine.{setting}={value} is how weights come to servers, and a colocated vLLM is in the "
                "learner's process: leave it out"
            )
    local = {"memory": memory, "sleep": sleep, "tensor_parallel": tensor_parallel}
    return VLLMEngine(policy, LocalVLLM(policy, **local, **options))
