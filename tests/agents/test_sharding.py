"""A model in shards: its scores and gradients are the whole model's, and it can be made whole again."""

import numpy as np
import pytest
import torch
from accelerate import PartialState
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor

from agents.conversation import Conversation, Limits
from agents.engines.weights import named_weights
from agents.policy import Policy
from agents.sharding import whole
from amft_mm.learning.example import Example
from amft_mm.learning.learner import Learner, OptimizerSettings
from amft_mm.learning.objective import Objective
from amft_mm.methods.imitation import sft
from amft_mm.runs.processes import ProcessGroup
from tests.agents import families
from tests.amft_mm.processes import finish, started

LORA = {"r": 4, "lora_alpha": 8}


def conversations(policy):
    """The last of three shows a picture, which one process alone reads."""
    found = []
    picture = (np.arange(56 * 56 * 3) % 255).astype(np.uint8).reshape(56, 56, 3)
    for number in range(3):
        conversation = Conversation(policy, Limits(max_tokens=400))
        shown = picture if number == 2 and policy.pictures else None
        conversation.observe("hello " * (number + 1), shown)
        conversation.say("abc " * (number + 2))
        found.append(conversation)
    return found


def both(**settings):
    """The same model whole and in shards."""
    torch.manual_seed(0)
    plain = Policy.load("tiny-random", device="cpu", **settings)
    torch.manual_seed(0)
    return plain, Policy.load("tiny-random", device="cpu", shard=True, **settings)


def gradients_are_the_whole_models(settings):
    rank = PartialState(cpu=True).process_index
    plain, divided = both(**settings)
    every = conversations(plain)
    mine = every[:2] if rank == 0 else every[2:]
    expected = plain.score(every).log_probs
    expected.sum().backward()
    for _ in range(2):
        divided.score(mine).log_probs.sum().backward()
        with torch.no_grad():  # gradients are not lost by it
            divided.score(every[:1])
    names = dict(plain.model.named_parameters())
    for name, parameter in divided.model.named_parameters():
        assert isinstance(parameter, DTensor)
        if names[name].grad is None:
            assert parameter.grad is None, name
        else:
            own = whole(parameter.grad) / 2
            assert torch.allclose(own, names[name].grad, rtol=1e-4, atol=1e-5), name
    with divided.gathered() as twins, torch.no_grad():
        assert torch.allclose(divided.score(every).log_probs, expected, atol=1e-5)
        assert not any(isinstance(twin, DTensor) for twin in twins.values())
    frozen = divided.frozen()
    with torch.no_grad():
        assert torch.allclose(frozen.score(every).log_probs, expected, atol=1e-5)
        for parameter in divided.names():
            parameter.add_(0.1)
        assert torch.allclose(frozen.score(every).log_probs, expected, atol=1e-5)
        assert not torch.allclose(divided.score(every).log_probs, expected, atol=1e-5)


def weights_go_to_other_engines_and_models(folder):
    rank = PartialState(cpu=True).process_index
    plain, divided = both(lora=LORA)
    for policy in (plain, divided):
        with torch.no_grad():
            for parameter in policy.names():
                parameter.fill_(0.01)
    pairs = zip(named_weights(divided), named_weights(plain), strict=True)
    for (name, mine), (other, theirs) in pairs:
        assert name == other
        assert torch.allclose(mine, theirs, atol=1e-6), name
    with divided.gathered():
        if rank == 0:
            divided.save(folder)
    torch.distributed.barrier()
    again = Policy.load(str(folder), device="cpu", shard=True)
    every = conversations(plain)
    with torch.no_grad():
        assert torch.allclose(again.score(every).log_probs, plain.score(every).log_probs, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{}, {"lora": LORA}, {"gradient_checkpointing": True}, {"freeze_vision": True}]
)
def test_two_processes_have_the_gradient_of_one(settings):
    """Defects guarded against: means instead of sums; gradients lost by a pass without one; pictures that one
    process alone has; a frozen copy whose eye goes on learning."""
    finish(started(gradients_are_the_whole_models, 2, (settings,)))


def scores_are_the_whole_models(folder):
    PartialState(cpu=True)
    plain = Policy.load(folder, device="cpu")
    divided = Policy.load(folder, device="cpu", shard=True)
    every = conversations(plain)
    with torch.no_grad():
        expected = plain.score(every).log_probs
        assert torch.allclose(divided.score(every).log_probs, expected, atol=1e-5)
        with divided.gathered():
            assert torch.allclose(divided.score(every).log_probs, expected, atol=1e-5)
        assert torch.allclose(divided.frozen().score(every).log_probs, expected, atol=1e-5)


def test_what_a_model_saves_beside_its_weights_reaches_all_processes(tmp_path, monkeypatch):
    """Defect: every process but the first chose experts by a fresh configuration's biases."""
    experts = {"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    shares = {"n_group": 1, "topk_group": 1, "n_shared_experts": 1, "first_k_dense_replace": 0}
    monkeypatch.setitem(families.READING, "glm4_moe", experts | shares)
    families.build_family("glm4_moe", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    biases = [name for name in weights if name.endswith("e_score_correction_bias")]
    assert biases
    for name in biases:
        weights[name] = torch.arange(8.0) % 3
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    finish(started(scores_are_the_whole_models, 2, (str(tmp_path),)))


@pytest.mark.slow
def test_an_adapter_in_shards_is_merged_saved_and_loaded(tmp_path):
    finish(started(weights_go_to_other_engines_and_models, 2, (tmp_path / "adapter",)))


def scores_have_no_dropout():
    own = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=own)
    lora = {**LORA, "lora_dropout": 0.5, "init_lora_weights": False}
    policy = Policy.load("tiny-random", device="cpu", shard=True, lora=lora)
    policy.model.train()
    learner = Learner(policy, OptimizerSettings(lr=0.0), ProcessGroup(), 3000)
    examples = [Example(c) for c in conversations(policy)[:2]]
    once, again = (
        [e.scored for e in learner.scored(examples, Objective(sft.loss))] for _ in range(2)
    )
    assert once == again


def test_what_is_read_of_a_model_in_shards_has_no_dropout():
    """Defect: another model than the one that is read was put out of training."""
    finish(started(scores_have_no_dropout, 1))
