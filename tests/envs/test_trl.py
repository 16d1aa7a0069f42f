"""TRL's GRPOTrainer plays a world: two real steps of a tiny model that calls the tool.

An untrained model would never call a tool, so what it writes is given to it: the right answer in half of the
group, a wrong one in the other. All else is TRL's own: prompts, tool calls, rewards, the loss and the step.
"""

import json

import pytest

pytest.importorskip("trl")

import torch
from datasets import Dataset
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM
from trl import GRPOConfig, GRPOTrainer
from trl.chat_template_utils import qwen3_chat_template

from envs.paths import asset
from envs.protocols.session import Session
from envs.trl import environment_factory

WORLD, ARGUMENTS = "amft/GeneralPoints-v0", {"modality": "text", "attempts": 1, "split": "train"}
SEEDS = (3, 4)


def right_answers():
    """The expert's answer by what the world shows."""
    session = Session(WORLD, ARGUMENTS)
    shown = {seed: session.reset(seed=seed)["text"] for seed in SEEDS}
    answers = {}
    for seed, text in shown.items():
        session.reset(seed=seed)
        answers[text] = session.expert()
    return answers


class Scripted:
    """In place of `generate`: each member calls the tool once and then is done."""

    def __init__(self, tokenizer):
        self.tokenizer, self.answers, self.calls = tokenizer, right_answers(), 0

    def __call__(self, input_ids, **_):
        rows = [self.said(k, self.tokenizer.decode(row)) for k, row in enumerate(input_ids)]
        ids = [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in rows]
        longest = max(map(len, ids))
        pad = self.tokenizer.pad_token_id
        padded = torch.tensor([row + [pad] * (longest - len(row)) for row in ids])
        return torch.cat([input_ids, padded], dim=1)

    def said(self, member, prompt):
        if "<tool_response>" in prompt:
            return "Done.<|im_end|>"
        self.calls += 1
        [right] = [answer for text, answer in self.answers.items() if text in prompt]
        call = {"name": "answer", "arguments": {"text": right if member % 2 else "1+1"}}
        return f"<tool_call>\n{json.dumps(call)}\n</tool_call><|im_end|>"


@pytest.mark.slow
def test_trl_makes_two_steps_on_a_world(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(asset("tiny-vlm"))
    tokenizer.chat_template = qwen3_chat_template
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen3ForCausalLM(config)
    before = model.lm_head.weight.detach().clone()
    model.generate = scripted = Scripted(tokenizer)
    play = [{"role": "user", "content": "Play.\n"}]
    trainer = GRPOTrainer(
        model,
        train_dataset=Dataset.from_list([{"prompt": play, "seed": seed} for seed in SEEDS]),
        processing_class=tokenizer,
        environment_factory=environment_factory(WORLD, **ARGUMENTS),
        args=GRPOConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=4,
            num_generations=4,
            max_steps=2,
            max_completion_length=512,
            learning_rate=0.01,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
        ),
    )
    trainer.train()
    assert trainer.state.global_step == 2
    assert scripted.calls == 8  # each episode once: it ends at its only attempt
    steps = [row for row in trainer.state.log_history if "reward" in row]
    assert [row["reward"] for row in steps] == pytest.approx([1.5, 1.5])  # 5 and -2
    assert all(row["rewards/GeneralPoints/mean"] == pytest.approx(1.5) for row in steps)
    assert not torch.equal(before, model.lm_head.weight)
