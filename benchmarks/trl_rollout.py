"""The same episodes by TRL's multi-turn GRPO rollout, for bench_engine.py.

TRL plays several turns by tool calls. Here every answer of the model counts as a call of one tool,
whose result is what the world shows next, pictures included; the chat template writes both as plain
turns, so the model reads what it reads elsewhere. Only TRL's `_generate` is timed: prompts to
completions, tools included, without scoring. It has no ban on sampling special tokens: answers that
hold a picture's placeholder are told apart and counted, see `held_pictures`.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

from datasets import Dataset
from PIL import Image as PILImage
from trl import GRPOConfig, GRPOTrainer

from agents.policy import Policy
from agents.rollout import Plan
from agents.worlds import World

TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + ('user' if message.role == 'tool' else message.role) + '\\n' -}}
{%- if message.tool_calls and message.tool_calls[0].function.name != 'act' -%}
{{- message.tool_calls[0].function | tojson -}}
{%- elif message.tool_calls and message.tool_calls[0].function.arguments.answer is defined -%}
{{- message.tool_calls[0].function.arguments.answer -}}
{%- elif message.content is string -%}
{{- message.content -}}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' -%}
{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- else -%}
{{- part.text -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


def trl_player(
    model: str, world: World, tasks: int, turns: int
) -> Callable[[int], tuple[float, int]]:
    policy = Policy.load(model, device="cpu")
    processor, tokenizer = policy.processor, policy.chat_format.tokenizer
    processor.chat_template = tokenizer.chat_template = TEMPLATE
    sees = world.options.get("modality") != "text"

    class AlwaysActs(type(tokenizer)):  # type: ignore[misc]
        """Reads every answer as a call of the tool."""

        def parse_response(self, ids: list[int], **_: Any) -> dict[str, Any]:
            text = self.decode(ids, skip_special_tokens=True)
            call = {"type": "function", "function": {"name": "act", "arguments": {"answer": text}}}
            return {"role": "assistant", "content": "", "tool_calls": [call]}

    tokenizer.__class__ = AlwaysActs
    tokenizer.response_template = "every answer is a call"

    class Street:
        """TRL's form of an environment: public methods are tools."""

        def __init__(self) -> None:
            self._env: Any = world.make().unwrapped

        def reset(self, seed: int, **_: Any) -> None:
            self._env.reset(seed=seed)

        def act(self, answer: str) -> list[dict[str, Any]]:
            """Acts in the street.

            Args:
                answer: what to do
            """
            observation, _, terminated, truncated, _ = self._env.step(answer)
            if terminated or truncated:
                self._env.reset(seed=0)  # TRL goes on asking: the same amount of work
            return content(observation)

    def content(observation: dict[str, Any]) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = [{"type": "text", "text": observation["text"]}]
        if "image" in observation:
            parts.insert(0, {"type": "image", "image": PILImage.fromarray(observation["image"])})
        return parts

    def rows(step: int) -> list[dict[str, Any]]:
        made = []
        for task in range(tasks):
            seed = Plan(seed=1, step=step).task_seed(task)
            observation, _ = world.make().unwrapped.reset(seed=seed)  # type: ignore[attr-defined]
            said = content(observation) if sees else observation["text"]
            made += [{"prompt": [{"role": "user", "content": said}], "seed": seed}] * 8
        return made

    settings = GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        num_generations=8,
        per_device_train_batch_size=8 * tasks,
        max_completion_length=3800,
        max_tool_calling_iterations=turns - 1,
        generation_kwargs={"max_new_tokens": 64},
        temperature=1.0,
        top_k=0,
        chat_template_kwargs={},
    )
    trainer = GRPOTrainer(
        model=policy.model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=settings,
        train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": ""}], "seed": 0}]),
        processing_class=processor if sees else tokenizer,
        environment_factory=Street,
    )
    trainer.max_completion_length = 3800
    found: dict[str, float] = {}
    generate = trainer._generate

    def timed(prompts: Any) -> Any:
        begun = time.perf_counter()
        out = generate(prompts)
        found["seconds"] = time.perf_counter() - begun
        found["tokens"] = sum(map(sum, out[2]))
        raise StopIteration  # what follows is scoring

    trainer._generate = timed

    def play(step: int) -> tuple[float, int]:
        inputs = rows(step)
        with contextlib.suppress(StopIteration):
            trainer._generate_and_score_completions(inputs)
        return found["seconds"], int(found["tokens"])

    return play
