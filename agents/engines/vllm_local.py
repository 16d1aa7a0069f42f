"""vLLM in this process: what is asked is written on a token at a time, and it takes the learner's weights."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path
from typing import Any

from agents import ranks
from agents.conversation import Conversation
from agents.engines.base import Request
from agents.engines.vllm_backend import Arrived, Completion, Prompt
from agents.policy import Policy

MEMORY = 0.4
"""Of a GPU that it shares with the learner."""


class LocalVLLM:
    """Where it sleeps, its weights go to the machine's memory and its cache is dropped while the learner
    learns; each wakes when it is wanted."""

    def __init__(self, policy: Policy, **options: Any) -> None:
        """`options` are those of `llm_options`."""
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        if policy.device.type == "cpu":
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        try:
            from vllm import LLM
        except ImportError as error:
            raise ImportError(
                "engine=vllm needs vLLM, which is not installed here: pip install 'amft-mm[vllm]' "
                "on a machine with a GPU, or make an environment by scripts/vllm_cpu_env.sh on one "
                f"without. ({error})"
            ) from error
        self._numbers = itertools.count()
        self._asked: dict[str, Request] = {}
        self._refused: Arrived = []
        self._folder = tempfile.TemporaryDirectory(prefix="amft-mm-vllm-")
        merged_copy(policy, Path(self._folder.name))
        chosen = llm_options(policy, several=ranks.several(), **options)
        self._llm = LLM(model=self._folder.name, **chosen)
        self._forget_weights()
        self._sleeps = chosen["enable_sleep_mode"]
        self._asleep: set[str] = set()
        self._in_this_process = (
            os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING") == "0"
            and chosen["tensor_parallel_size"] == 1
        )

    def ask(self, request: Request, prompt: Prompt) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        asked: dict[str, Any] = {"prompt_token_ids": prompt.ids}
        if prompt.images:
            asked["multi_modal_data"] = {"image": prompt.images}
        params = SamplingParams(output_kind=RequestOutputKind.FINAL_ONLY, **prompt.settings)
        self._wake("weights", "kv_cache")
        name = str(next(self._numbers))
        try:
            self._llm.llm_engine.add_request(name, asked, params)
        except refusals() as error:  # longer than vLLM's max_model_len, say
            self._refused.append((request, f"vLLM takes it not: {error}"))
        else:
            self._asked[name] = request

    def arrived(self) -> Arrived:
        """One more token of everything that is written."""
        refused, self._refused = self._refused, []
        if not self._asked:
            return refused
        done = [output for output in self._llm.llm_engine.step() if output.finished]
        return refused + [(self._asked.pop(o.request_id), _completion(o)) for o in done]

    def forget(self, conversation: Conversation) -> None:
        self._refused = [(r, why) for r, why in self._refused if r.conversation is not conversation]
        names = [name for name, r in self._asked.items() if r.conversation is conversation]
        if names:
            self._llm.llm_engine.abort_request(names)
        for name in names:
            del self._asked[name]

    def rest(self) -> None:
        if self._sleeps and "weights" not in self._asleep:
            self._llm.sleep(level=1)
            self._asleep = {"weights", "kv_cache"}

    def _wake(self, *parts: str) -> None:
        for part in parts:
            if part in self._asleep:
                self._llm.wake_up(tags=[part])
                self._asleep.remove(part)

    def update(self, policy: Policy) -> None:
        from agents.engines import vllm_worker
        from agents.engines.weights import named_weights, save_weights

        self._wake("weights")
        if self._in_this_process:
            vllm_worker.hand_over(named_weights(policy))
            self._llm.collective_rpc("take_weights")
            vllm_worker.hand_over(())
        else:
            folder = Path(self._folder.name)
            save_weights(policy, folder, writes=True)
            self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
            self._forget_weights()
        self._llm.reset_prefix_cache()
        self._llm.llm_engine.reset_mm_cache()
        self._llm.llm_engine.reset_encoder_cache()

    def _forget_weights(self) -> None:
        """vLLM has copied them, and its folder may lie in the machine's memory. Configuration and processor
        stay, which it may read again."""
        for shard in Path(self._folder.name).glob("*.safetensors"):
            shard.unlink()


def refusals() -> tuple[type[Exception], ...]:
    """By which vLLM says that it does not take a prompt."""
    from vllm import exceptions

    own = getattr(exceptions, "VLLMClientError", None)  # which is no ValueError
    return (ValueError,) if own is None else (ValueError, own)


def llm_options(
    policy: Policy,
    *,
    several: bool = False,
    memory: float | None = None,
    sleep: bool = True,
    tensor_parallel: int = 1,
    max_images: int = 16,
    **options: Any,
) -> dict[str, Any]:
    """What vLLM is called with beside a policy.

    memory           share of a GPU's whole memory that vLLM takes; the learner needs the rest
    sleep            give it back while the learner learns; on GPUs
    tensor_parallel  GPUs that a model is divided among; of one process
    max_images       in a conversation
    options          more of vLLM's own

    With `several` processes each has a vLLM of its own, on its own GPU.
    """
    on_cpu = policy.device.type == "cpu"
    if several and tensor_parallel > 1:
        raise ValueError(
            f"engine.tensor_parallel={tensor_parallel} with several processes, each of which plays episodes "
            "of its own: divide the model in servers instead (engine.where=servers, and "
            "--tensor-parallel-size of `vllm serve`)"
        )
    chosen: dict[str, Any] = {
        "dtype": "float32" if on_cpu else str(policy.dtype).removeprefix("torch."),
        "enforce_eager": on_cpu,
        "max_model_len": 4096,
        "max_num_seqs": 64,
        "limit_mm_per_prompt": {"image": max_images, "video": 0} if policy.pictures else {},
        "worker_extension_cls": "agents.engines.vllm_worker.TakesWeights",
        "enable_sleep_mode": sleep and not on_cpu,
        "tensor_parallel_size": tensor_parallel,
    }
    if on_cpu:
        chosen["max_num_batched_tokens"] = 16384  # with less it dies of many seeded requests
    else:
        chosen["gpu_memory_utilization"] = MEMORY if memory is None else memory
    if several:  # else every process's vLLM would take the first GPU
        chosen["distributed_executor_backend"] = "external_launcher"
    return chosen | options


def _completion(output: Any) -> Completion:
    best = output.outputs[0]
    pairs = zip(best.token_ids, best.logprobs or [], strict=True)
    log_probs = [found[token].logprob for token, found in pairs]
    return Completion(list(output.prompt_token_ids or []), list(best.token_ids), log_probs)


def merged_copy(policy: Policy, folder: Path) -> None:
    """The policy as a folder that vLLM can load: configuration, processor and weights. Of several processes
    all come here, each with a folder of its own."""
    from agents.engines.weights import save_weights

    policy.plain_model.config.save_pretrained(folder)
    policy.plain_model.generation_config.save_pretrained(folder)
    policy.processor.save_pretrained(folder)
    save_weights(policy, folder, writes=True)
