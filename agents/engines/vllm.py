"""engine=vllm: vLLM in this process, or running servers, with the learner's weights after each step.

Tokens in, tokens out: a prompt is given as the conversation's ids (each picture's placeholder once,
as vLLM wants it) and must come back as exactly these ids with their placeholders; what is sampled is
taken as ids. After new weights all three of vLLM's caches are reset: prefixes, pictures as they were
processed, and pictures as they were encoded. Without that it goes on answering as the old model.

Log-probabilities are the plain model's, and are given where that is what is asked for: at temperature 1, or
greedily. Those of the sampling distribution are given where they are the same (temperature 1, no truncation).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents.anatomy import ModelError
from agents.conversation import Conversation
from agents.engines.base import Finished, Request, Sample, Sampling, nobody_waits
from agents.engines.vllm_backend import Arrived, Backend, Completion, Prompt
from agents.pictures import ProcessorReader
from agents.policy import Policy
from agents.seeds import mixed_seed


class VLLMEngine:
    """The engine over a backend."""

    def __init__(self, policy: Policy, backend: Backend) -> None:
        if isinstance(policy.pictures, ProcessorReader):
            raise ModelError(
                f"engine=vllm: {type(policy.plain_model).__name__} writes more than one mark in a picture's "
                "place, and vLLM is given one for each picture. Take engine=hf"
            )
        self._policy, self._backend = policy, backend
        chat_format = policy.chat_format
        beyond = range(len(chat_format.tokenizer), policy.vocabulary)
        banned = {*chat_format.special_ids, *beyond} - {chat_format.stop_id}
        self._never = dict.fromkeys(sorted(banned), -100.0)

    def generate(
        self,
        requests: Sequence[Request],
        sampling: Sampling,
        max_new_tokens: int,
        finished: Finished = nobody_waits,
    ) -> list[Sample]:
        settings = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "max_tokens": max_new_tokens,
            "logprobs": 0,
            "stop_token_ids": [self._policy.chat_format.stop_id, *sampling.stop_ids],
            "logit_bias": self._never,
            "detokenize": False,
        }
        prompts = [self._prompt(request) for request in requests]
        plain = sampling.learnt_at == 1.0
        as_sampled = (sampling.temperature, sampling.top_p, sampling.top_k) == (1.0, 1.0, 0)
        samples: list[Sample] = [Sample(error="vLLM gave no answer")] * len(requests)

        def arrived(number: int, completion: Completion | str) -> None:
            conversation = requests[number].conversation
            samples[number] = self._sample(conversation, completion, plain, as_sampled)
            finished(number, samples[number])

        self._backend.complete(prompts, settings, arrived)
        return samples

    def release(self, conversation: Conversation) -> None:
        """vLLM keeps and drops its caches by itself."""

    def refresh(self) -> None:
        self._backend.update(self._policy)

    def _prompt(self, request: Request) -> Prompt:
        conversation = request.conversation
        reader = self._policy.pictures
        images = [reader.scaled(image) for image in conversation.images] if reader else []
        seed = mixed_seed(*request.turn_seed())
        return Prompt(collapsed(conversation), images, seed)

    def _sample(
        self,
        conversation: Conversation,
        completion: Completion | str,
        plain: bool,
        as_sampled: bool,
    ) -> Sample:
        if isinstance(completion, str):
            return Sample(error=completion)
        if completion.prompt_ids is not None and completion.prompt_ids != conversation.ids:
            return Sample(
                error=f"vLLM read {len(completion.prompt_ids)} ids where the conversation has "
                f"{len(conversation.ids)}: its picture sizes or its model differ from the policy's"
            )
        log_probs = completion.log_probs if plain else []
        return Sample(completion.ids, log_probs, list(log_probs) if as_sampled else [])


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


class LocalVLLM:
    """vLLM in this process."""

    def __init__(self, policy: Policy, **options: Any) -> None:
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        on_cpu = policy.device.type == "cpu"
        if on_cpu:
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        try:
            from vllm import LLM
        except ImportError as error:
            raise ImportError(
                "engine=vllm needs vLLM, which is not installed here: pip install 'amft-mm[vllm]' "
                "on a machine with a GPU, or make an environment by scripts/vllm_cpu_env.sh on one "
                f"without. ({error})"
            ) from error
        self._folder = tempfile.TemporaryDirectory(prefix="amft-mm-vllm-")
        merged_copy(policy, Path(self._folder.name))
        pictures = {"image": options.pop("max_images", 16), "video": 0}
        self._llm = LLM(
            model=self._folder.name,
            **{
                "dtype": "float32" if on_cpu else "bfloat16",
                "enforce_eager": on_cpu,
                "max_model_len": 4096,
                "max_num_seqs": 64,
                "limit_mm_per_prompt": pictures if policy.pictures else {},
                "worker_extension_cls": "agents.engines.vllm_worker.TakesWeights",
                **options,
            },
        )

    def complete(self, prompts: list[Prompt], settings: dict[str, Any], arrived: Arrived) -> None:
        from vllm import SamplingParams

        asked: list[Any] = []
        for prompt in prompts:
            one: dict[str, Any] = {"prompt_token_ids": prompt.ids}
            if prompt.images:
                one["multi_modal_data"] = {"image": prompt.images}
            asked.append(one)
        params = [SamplingParams(seed=prompt.seed, **settings) for prompt in prompts]
        outputs = self._llm.generate(asked, params, use_tqdm=False)
        for number, output in enumerate(outputs):
            best = output.outputs[0]
            pairs = zip(best.token_ids, best.logprobs or [], strict=True)
            log_probs = [found[token].logprob for token, found in pairs]
            ids = list(best.token_ids)
            arrived(number, Completion(list(output.prompt_token_ids or []), ids, log_probs))

    def update(self, policy: Policy) -> None:
        from agents.engines import vllm_worker
        from agents.engines.weights import named_weights, save_weights

        if os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING") == "0":
            vllm_worker.hand_over(named_weights(policy))
            self._llm.collective_rpc("take_weights")
            vllm_worker.hand_over(())
        else:
            folder = Path(self._folder.name)
            save_weights(policy, folder)
            self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
        self._llm.reset_prefix_cache()
        self._llm.llm_engine.reset_mm_cache()
        self._llm.llm_engine.reset_encoder_cache()


def merged_copy(policy: Policy, folder: Path) -> None:
    """The policy as a folder that vLLM can load: configuration, processor and weights."""
    from agents.engines.weights import save_weights

    policy.plain_model.config.save_pretrained(folder)
    policy.plain_model.generation_config.save_pretrained(folder)
    policy.processor.save_pretrained(folder)
    save_weights(policy, folder)


def make_vllm_engine(policy: Policy, *, servers: Sequence[str] = (), **options: Any) -> VLLMEngine:
    """`servers` are addresses of running `vllm serve`s; without any, vLLM runs in this process."""
    if servers:
        from agents.engines.vllm_server import ServedVLLM

        return VLLMEngine(policy, ServedVLLM(list(servers), **options))
    return VLLMEngine(policy, LocalVLLM(policy, **options))
